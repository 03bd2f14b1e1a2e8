//! Any bytes a client sends: what the gate passes on is the request that a plain reader finds at their start, and tiny_http
//! and the lane read it as the very same; of a request that is not whole the gate wants more.

#![no_main]

use latchkey::gate::forward::{self, Sender};
use latchkey::gate::parse::{Parsed, parse};
use latchkey_fuzz::plain_http::PlainRequest;
use latchkey_fuzz::{cookie, lane};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let plain = PlainRequest::read(input);
    let request = match parse(input, &cookie()) {
        Parsed::Complete(request) => request,
        Parsed::NeedMore { .. } => return assert!(plain.is_none(), "the request is there whole"),
        Parsed::Reject(_) => return,
    };
    let plain = plain.expect("what is passed on is a request whose length is told once");
    assert_eq!((request.len, request.body), (plain.len, plain.body));
    assert_eq!(request.is_forwarded, plain.is_forwarded());
    for len in (0..plain.len).step_by(1 + plain.len / 16).chain([plain.len - 1]) {
        assert!(matches!(parse(&input[..len], &cookie()), Parsed::NeedMore { .. }), "{len} bytes of it");
    }

    let sender = Sender { address: [203, 0, 113, 7].into(), is_forwarded: request.is_forwarded };
    let mut passed_on = Vec::new();
    forward::write(&request, sender, &cookie(), &mut passed_on);
    let read = lane::tiny_http_reads(&passed_on);
    assert_eq!(read.escape_ascii().to_string(), passed_on.escape_ascii().to_string());
    assert_eq!(lane::line(&read), plain.line);
    let arrived = forward::read(lane::body(&read)).expect("a lane reads what the gate wrote");
    assert_eq!((arrived.sender, arrived.body), (sender, plain.body));
    let fields = arrived.fields.into_iter().map(|(name, value)| (name, value.to_owned()));
    assert_eq!(Some(fields.collect()), plain.passed_on());
});
