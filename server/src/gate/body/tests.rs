//! Bodies in chunks that the gate reads and that it refuses, each by name.

use super::*;

fn read(bytes: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Refusal> {
    Ok(Body::read(bytes.as_ref(), Framing::Chunks)?.map(Body::to_vec))
}

#[track_caller]
fn assert_reads(bytes: &str, content: &str) {
    let raw_len = Body::read(bytes.as_bytes(), Framing::Chunks).unwrap().unwrap().raw_len();
    assert_eq!((read(bytes), raw_len), (Ok(Some(content.into())), bytes.len()), "{bytes:?}");
    let longer = format!("{bytes}GET / HTTP/1.1\r\n");
    assert_eq!(read(&longer), Ok(Some(content.into())), "what follows is not of the body");
    for len in 0..bytes.len() {
        assert_eq!(read(&bytes[..len]), Ok(None), "{:?}", &bytes[..len]);
    }
}

#[track_caller]
fn assert_malformed(bytes: &str) {
    assert!(matches!(read(bytes), Err(Refusal::Malformed(_))), "{bytes:?}: {:?}", read(bytes));
}

#[test]
fn chunks_are_read_as_one_body() {
    assert_reads("0\r\n\r\n", "");
    assert_reads("2\r\n{}\r\n0\r\n\r\n", "{}");
    assert_reads("1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", "{}");
    assert_reads("00a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n", "01234567890123456789");
    assert_reads("2\r\n\r\n\r\n0\r\n\r\n", "\r\n");
    assert_reads("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n");
}

#[test]
fn a_size_is_hexadecimal_digits_and_nothing_else() {
    for bad in [
        "\r\n",
        "x\r\n",
        "0x2\r\n{}",
        "+2\r\n{}",
        "-2\r\n{}",
        " 2\r\n{}",
        "2 \r\n{}",
        "2\t\r\n{}",
        "2_0\r\n",
        "2.0\r\n",
        "2,2\r\n",
        "2h\r\n",
        "\u{b2}\r\n",
        "2\0\r\n",
        ";\r\n",
        "\n2\r\n{}",
    ] {
        assert_malformed(bad);
    }
}

#[test]
fn a_size_that_overflows_is_too_large_and_not_small() {
    for huge in ["4001", "10000000000000000", "ffffffffffffffff", "100000000000000002"] {
        assert_eq!(read(format!("{huge}\r\n{{}}\r\n0\r\n\r\n")), Err(Refusal::BodyTooLarge), "{huge}");
        assert_eq!(read(huge), Err(Refusal::BodyTooLarge), "before its line has ended");
    }
    assert_reads("000000000000000000000002\r\n{}\r\n0\r\n\r\n", "{}");
}

#[test]
fn lines_end_with_cr_lf_only() {
    for bad in [
        "2\n{}\r\n0\r\n\r\n",
        "2\r{}\r\n0\r\n\r\n",
        "2\r\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}\r0\r\n\r\n",
        "2\r\n{}\r\n0\n\r\n",
        "2\r\n{}\r\n0\r\n\n",
        "2\r\n{}\r\n0\r\n\r\r\n",
        "2\r\n{}\r\n0\n\n",
    ] {
        assert_malformed(bad);
    }
}

#[test]
fn a_chunk_is_as_long_as_its_size() {
    assert_malformed("1\r\n{}\r\n0\r\n\r\n");
    assert_malformed("3\r\n{}\r\n0\r\n\r\n");
    assert_malformed("2\r\n{}0\r\n\r\n");
    assert_malformed("2\r\n{}\r\n\r\n0\r\n\r\n");
}

#[test]
fn extensions_are_ignored_as_long_as_they_are_short_and_visible() {
    assert_reads("2;a\r\n{}\r\n0;b=c\r\n\r\n", "{}");
    assert_reads("2 ; a = \"b; c\"\r\n{}\r\n0\r\n\r\n", "{}");
    assert_reads("2\t;\r\n{}\r\n0\r\n\r\n", "{}");
    for bad in ["2;a\nb\r\n", "2;a\rb\r\n", "2;\u{e4}\r\n", "2;a\0\r\n", "2;\x7f\r\n", "2 a\r\n"] {
        assert_malformed(bad);
    }
    let line = |len: usize| format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(len - 4));
    assert_reads(&line(SIZE_LINE_LEN_MAX), "{}");
    assert_malformed(&line(SIZE_LINE_LEN_MAX + 1));
    assert_malformed(&line(SIZE_LINE_LEN_MAX + 1)[..SIZE_LINE_LEN_MAX]);
}

#[test]
fn trailers_are_dropped_as_long_as_they_are_fields_within_the_limit() {
    assert_reads("2\r\n{}\r\n0\r\nChecksum: 1\r\nContent-Length: 99\r\n\r\n", "{}");
    assert_reads("0\r\nTransfer-Encoding: chunked\r\n\r\n", "");
    for bad in ["X : a", "X\r\n", ": a", "X: a\n", "X: a\r\n b", "X: a\0", " X: a", "GET / HTTP/1.1"] {
        assert_malformed(&format!("0\r\n{bad}\r\n\r\n"));
    }
    let trailers = |len: usize| format!("0\r\nX: {}\r\n\r\n", "x".repeat(len - 7));
    assert_reads(&trailers(TRAILERS_LEN_MAX), "");
    assert_malformed(&trailers(TRAILERS_LEN_MAX + 1));
    let many = format!("0\r\n{}\r\n", "X: y\r\n".repeat(FIELDS_MAX + 1));
    assert_eq!(read(many), Err(Refusal::TooManyFields));
}

#[test]
fn a_body_at_the_limit_passes_and_one_byte_more_does_not() {
    let body = |len: usize| format!("{:x}\r\n{}\r\n1\r\nx\r\n0\r\n\r\n", len - 1, "x".repeat(len - 1));
    assert_eq!(read(body(BODY_LEN_MAX)).unwrap().unwrap().len(), BODY_LEN_MAX);
    assert_eq!(read(body(BODY_LEN_MAX + 1)), Err(Refusal::BodyTooLarge));
}

#[test]
fn chunks_that_are_mostly_frames_are_too_large() {
    let chunks = |count: usize| "1\r\nx\r\n".repeat(count) + "0\r\n\r\n";
    let most = (CHUNKED_LEN_MAX - 5) / 6;
    assert_eq!(read(chunks(most)).unwrap().unwrap().len(), most);
    assert_eq!(read(chunks(most + 1)), Err(Refusal::BodyTooLarge));
    assert_eq!(read(&chunks(most + 1)[..CHUNKED_LEN_MAX - 1]), Ok(None));
}

#[test]
fn a_body_of_known_length_is_one_piece() {
    let body = Body::read(b"{}GET", Framing::Length(2)).unwrap().unwrap();
    assert_eq!(body.pieces().collect::<Vec<_>>(), [b"{}"]);
    let none = Body::read(b"GET", Framing::Length(0)).unwrap().unwrap();
    assert_eq!(none.pieces().count(), 0);
    assert_eq!(Body::read(b"{", Framing::Length(2)), Ok(None));
}
