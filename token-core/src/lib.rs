//! HS256 JSON Web Tokens in fixed buffers.
#![no_std]
