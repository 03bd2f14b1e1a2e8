//! Any bytes a client sends: what the gate passes on, tiny_http reads as the very same request, and nothing after it.

#![no_main]

use latchkey::gate::forward::{self, Sender};
use latchkey::gate::parse::{Parsed, parse};
use latchkey_fuzz::{cookie, tiny_http_reads};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Parsed::Complete(request) = parse(input, &cookie()) else { return };
    assert!(request.len <= input.len() && input[..request.len].ends_with(request.body));
    let sender = Sender { address: [203, 0, 113, 7].into(), is_forwarded: request.is_forwarded };
    let mut passed_on = Vec::new();
    forward::write(&request, sender, &cookie(), &mut passed_on);

    assert_eq!(tiny_http_reads(&passed_on).escape_ascii().to_string(), passed_on.escape_ascii().to_string());

    // Without a Host, which HTTP/1.0 may leave out, it would not be let in again.
    if let Parsed::Complete(again) = parse(&passed_on, &cookie()) {
        let mut passed_on_again = Vec::new();
        forward::write(&again, sender, &cookie(), &mut passed_on_again);
        assert_eq!(passed_on_again, passed_on);
    } else {
        assert!(request.is_http_1_0 && request.fields[0].is_none());
    }
});
