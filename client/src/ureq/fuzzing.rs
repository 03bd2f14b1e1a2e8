//! A door for the fuzz targets: what the client makes of the answer to a log-in or a refresh.

use zeroize::Zeroizing;

use super::message::Tokens;
use super::response::Response;

/// Access token, refresh token, session and user of a 200 with this body; `None` when it is not the server's.
pub fn tokens(body: &[u8]) -> Option<[String; 4]> {
    let body = Zeroizing::new(body.to_vec());
    let content_type = "application/json".to_owned();
    let read = Tokens::read(&Response { status: 200, content_type, retry_after_secs: None, body })?;
    Some([read.access_token.to_string(), read.refresh_token.as_str().to_owned(), read.session, read.user])
}
