//! Any lines as Cookie fields: ours is found if it is there once, and what is found is what we would send.

#![no_main]

use latchkey::cookie::Doubled;
use latchkey_fuzz::cookie;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (cookie, fields) = (cookie(), input.split(|&byte| byte == b'\n'));
    let pairs = fields.clone().flat_map(|field| field.split(|&byte| byte == b';')).map(<[u8]>::trim_ascii);
    let ours = pairs.filter(|pair| pair.starts_with(cookie.sent("").as_bytes())).count();
    let found = cookie.find(fields.clone());
    match found {
        Ok(found) => assert_eq!(usize::from(found.is_some()), ours),
        Err(Doubled) => assert!(ours > 1),
    }
    if let Ok(Some(value)) = found {
        assert_eq!(cookie.find([cookie.sent(value).as_bytes()]), Ok(Some(value)));
    }
    let (one_more, expected) = (cookie.sent("T"), if ours == 0 { Ok(Some("T")) } else { Err(Doubled) });
    assert_eq!(cookie.find(fields.chain([one_more.as_bytes()])), expected);
});
