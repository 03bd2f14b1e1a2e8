//! The Latchkey server as a library.
