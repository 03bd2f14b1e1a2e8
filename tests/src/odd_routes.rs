//! An application around the server's library whose routes answer what no route should, and one that says who asked.

use std::process::ExitCode;

use latchkey::api::{App, Request, Response, Routes};
use latchkey::problem::{Code, Problem};

/// What a client would see if the rest of an answer were taken for another one.
const ANOTHER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen";

fn with_status(status: u16) -> Response {
    Response { status, ..Response::text(ANOTHER) }
}

/// `GET /api/odd/{status}`: another answer as the body of one of this status.
fn status(_: &App, request: &Request<'_>) -> Result<Response, Problem> {
    request.segment(3).parse().map(with_status).map_err(|_| Code::NotFound.into())
}

/// `GET /api/field/{number}`: one of these fields in an answer.
fn field(_: &App, request: &Request<'_>) -> Result<Response, Problem> {
    let fields = [
        ("Content-Length", "1"),
        ("Content-Length", "100000"),
        ("content-length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Upgrade", "h2c"),
        ("Trailer", "X"),
        ("X-Two", "a\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK"),
        ("X-Two", "a\nb"),
        ("X-\r\nY", "a"),
        ("X-Umlaut", "\u{e4}"),
        ("", "nameless"),
    ];
    let number: usize = request.segment(3).parse().map_err(|_| Code::NotFound)?;
    let (name, value) = fields[number % fields.len()];
    Ok(Response::text(ANOTHER).with(name, value))
}

/// `/api/echo/{text}`: says the text again.
fn echo(_: &App, request: &Request<'_>) -> Result<Response, Problem> {
    Ok(Response::text(format!("echo {}", request.segment(3))))
}

/// `GET /api/large/{len}`: so many bytes.
fn large(_: &App, request: &Request<'_>) -> Result<Response, Problem> {
    let len = request.segment(3).parse().map_err(|_| Code::NotFound)?;
    Ok(Response::text("x".repeat(len)))
}

fn main() -> ExitCode {
    let routes = Routes::default()
        .get("/api/odd/{status}", status)
        .get("/api/field/{number}", field)
        .get("/api/large/{len}", large)
        .get("/api/echo/{text}", echo)
        .post("/api/echo/{text}", echo);
    latchkey::cli::main(routes)
}
