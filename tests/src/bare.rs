//! A bare tiny_http server that answers `ok`: what the attack suite has to be able to fail.

use std::io::Write;

fn main() {
    let server = tiny_http::Server::http("127.0.0.1:0").expect("a port is free");
    let address = server.server_addr().to_ip().expect("it listens on an IP address");
    println!("bare listening on http://{address}");
    std::io::stdout().flush().expect("the test reads");
    let server = std::sync::Arc::new(server);
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let server = std::sync::Arc::clone(&server);
            std::thread::spawn(move || {
                while let Ok(mut request) = server.recv() {
                    let mut body = Vec::new();
                    // An application reads the body of what it expects to have one, as much as it wants of it.
                    if *request.method() == tiny_http::Method::Post && request.body_length() < Some(10_000) {
                        let _ = request.as_reader().read_to_end(&mut body);
                    }
                    let _ = request.respond(tiny_http::Response::from_string("ok\n"));
                }
            })
        })
        .collect();
    for worker in workers {
        let _ = worker.join();
    }
}
