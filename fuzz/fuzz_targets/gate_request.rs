//! Any bytes a client sends: what the gate passes on is the request that a plain reader finds at their start, and tiny_http
//! and the lane read it as the very same; of a request that is not whole the gate wants more.

#![no_main]

use latchkey::gate::forward::{self, Sender};
use latchkey::gate::message::{Content, Open, frames};
use latchkey::gate::parse::{Parsed, parse};
use latchkey::gate::wiped::Wiped;
use latchkey_fuzz::plain_http::PlainRequest;
use latchkey_fuzz::{cookie, lane};
use libfuzzer_sys::fuzz_target;

const NUMBER: u64 = 0x0123_4567_89ab_cdef;

fuzz_target!(|input: &[u8]| {
    let plain = PlainRequest::read(input);
    let request = match parse(input, &cookie()) {
        Parsed::Complete(request) => request,
        Parsed::NeedMore { .. } => return assert!(plain.is_none(), "the request is there whole"),
        Parsed::Reject(_) => return,
    };
    let plain = plain.expect("what is passed on is a request whose length is told once");
    assert_eq!((request.len, request.body.to_vec()), (plain.len, plain.body.clone()));
    assert_eq!(request.is_forwarded, plain.is_forwarded());
    for len in (0..plain.len).step_by(1 + plain.len / 16).chain([plain.len - 1]) {
        assert!(matches!(parse(&input[..len], &cookie()), Parsed::NeedMore { .. }), "{len} bytes of it");
    }

    let sender = Sender { address: [203, 0, 113, 7].into(), is_forwarded: request.is_forwarded };
    let mut message = Wiped::default();
    let content = if plain.body.is_empty() { Content::Ordinary } else { Content::Secret };
    let open = Open::begin(content, &mut message);
    forward::write(&request, NUMBER, sender, &cookie(), &mut message);
    open.seal(&mut message);
    let read = lane::tiny_http_reads(&message);
    assert_eq!(read.escape_ascii().to_string(), message.escape_ascii().to_string());
    let body = lane::body(&read);
    let mut requests = &body[frames(body).expect("a message has frames")];
    let arrived =
        forward::next(&mut requests).expect("a lane reads what the gate wrote").expect("and it is there");
    assert!(requests.is_empty() && arrived.number == NUMBER);
    assert_eq!((arrived.method, arrived.target.to_owned()), plain.line);
    assert_eq!((arrived.sender, arrived.body), (sender, &*plain.body));
    let fields = arrived.fields.into_iter().map(|(name, value)| (name, value.to_owned()));
    assert_eq!(Some(fields.collect()), plain.passed_on());
});
