//! Any bytes a client sends: what the gate passes on, tiny_http and the lane read as the very same request, and nothing
//! after it.

#![no_main]

use latchkey::gate::forward::{self, Sender};
use latchkey::gate::parse::{PASSED_ON, Parsed, parse};
use latchkey_fuzz::{cookie, tiny_http_reads};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Parsed::Complete(request) = parse(input, &cookie()) else { return };
    assert!(request.len <= input.len() && input[..request.len].ends_with(request.body));
    let sender = Sender { address: [203, 0, 113, 7].into(), is_forwarded: request.is_forwarded };
    let mut passed_on = Vec::new();
    forward::write(&request, sender, &cookie(), &mut passed_on);

    let read = tiny_http_reads(&passed_on);
    assert_eq!(read.escape_ascii().to_string(), passed_on.escape_ascii().to_string());

    let head_len = read.windows(4).position(|end| end == b"\r\n\r\n").expect("a head has an end") + 4;
    let arrived = forward::read(&read[head_len..]).expect("a lane reads what the gate wrote");
    assert_eq!((arrived.sender, arrived.body), (sender, request.body));
    let sent = PASSED_ON.iter().zip(&request.fields).filter_map(|(name, value)| Some((*name, (*value)?)));
    assert_eq!(arrived.fields.len(), sent.clone().count() + usize::from(request.refresh_cookie.is_some()));
    for ((name, value), (sent_name, sent_value)) in arrived.fields.into_iter().zip(sent) {
        assert!(name == sent_name && (value.as_bytes() == sent_value || !sent_value.is_ascii()));
    }
});
