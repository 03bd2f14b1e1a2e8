//! Published tokens and the keys they were signed with.

/// A published token.
#[derive(Debug)]
pub struct Vector {
    /// The key, in base64url.
    pub key: &'static str,
    /// The key id in the header, if there is one.
    pub kid: Option<&'static str>,
    /// The token.
    pub token: &'static str,
}

/// RFC 7515 appendix A.1: claims of `joe` that expired at 1,300,819,380.
pub const RFC_7515_A_1: Vector = Vector {
    key: "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    kid: None,
    token: "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
     eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
     dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
};

/// RFC 7520 section 4.4: a sentence, which is no set of claims.
pub const RFC_7520_4_4: Vector = Vector {
    key: "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
    kid: Some("018c0ae5-4d9b-471b-bfd6-eef314bc7037"),
    token: "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9.\
     SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.\
     s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
};
