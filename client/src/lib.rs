//! The client half of Latchkey.
