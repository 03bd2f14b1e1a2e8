//! The server that Latchkey is compared with: axum and SQLite, as one would write it who wants the same promises.
//!
//! A refresh is one transaction: the row of the session is read, the presented secret compared with the hash in it,
//! and the row updated; the answer follows the commit. A secret that is spent deletes the row.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, Semaphore};

use crate::{Failure, servers};

const ACCESS_TTL_SECS: i64 = 86_400;
const INACTIVITY_SECS: i64 = 604_800;
const LIFETIME_SECS: i64 = 2_592_000;

/// What every access token names as its issuer and its audience, as long as Latchkey's.
const ISSUER: &str = "http://127.0.0.1:8080";

/// Bytes of a session's id and of the secret behind it in a refresh token.
const ID_LEN: usize = 8;
const SECRET_LEN: usize = 32;

/// One row a session, under a key that is its place in the file.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS users (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL, disabled INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS sessions (
        id INTEGER PRIMARY KEY, user INTEGER NOT NULL REFERENCES users (id), token_hash BLOB NOT NULL,
        created INTEGER NOT NULL, expires INTEGER NOT NULL, idle_expires INTEGER NOT NULL
    ) STRICT;";

/// One connection, because SQLite lets one write at a time. tokio's lock hands it on in the order of asking, so that
/// nobody starves and one blocking thread is enough.
#[derive(Clone)]
struct App {
    database: Arc<Mutex<Connection>>,
    signing: Arc<EncodingKey>,
    verifying: Arc<DecodingKey>,
    validation: Arc<Validation>,
    /// The hash of everybody's password.
    password: Arc<str>,
    /// As many hashes at once as there are cores.
    hashing: Arc<Semaphore>,
}

/// Serves over the database at `path` until the process is killed; prints where, as Latchkey does.
pub(crate) fn serve(path: &Path) -> Result<(), Failure> {
    let database = Connection::open(path)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.execute_batch(SCHEMA)?;
    let secret: [u8; 32] = rand::random();
    let app = App {
        database: Arc::new(Mutex::new(database)),
        signing: Arc::new(EncodingKey::from_secret(&secret)),
        verifying: Arc::new(DecodingKey::from_secret(&secret)),
        validation: Arc::new(validation()),
        password: Argon2::default().hash_password(servers::PASSWORD.as_bytes())?.to_string().into(),
        hashing: Arc::new(Semaphore::new(std::thread::available_parallelism()?.get())),
    };
    let routes = Router::new()
        .route("/api/me", get(me))
        .route("/api/auth/login", post(login))
        .route("/api/auth/refresh", post(refresh))
        .with_state(app);
    // tokio's multi-threaded runtime, one worker a core.
    Ok(Runtime::new()?.block_on(answer(routes))?)
}

async fn answer(routes: Router) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("axum and SQLite listening on http://{}", listener.local_addr()?);
    let without_delay = listener.tap_io(|stream| {
        // Without it a connection is slower, not wrong.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(without_delay, routes).await
}

#[derive(Deserialize)]
struct LoginBody {
    username: String,
    password: String,
}

#[derive(Deserialize)]
struct RefreshBody {
    refresh_token: String,
}

#[derive(Serialize)]
struct Grant {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    session: String,
    user: UserView,
    rotated: bool,
    refresh_token: String,
}

#[derive(Clone, Serialize)]
struct UserView {
    id: String,
    name: String,
    role: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
    iat: i64,
    jti: String,
    sid: &'a str,
    role: &'a str,
}

type Secret = [u8; SECRET_LEN];
type Answer = Result<Json<Grant>, StatusCode>;

/// What a verified token says, as the caller gets it back.
async fn me(State(app): State<App>, headers: HeaderMap) -> Result<Json<Me>, StatusCode> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        authorization.and_then(|value| value.strip_prefix("Bearer ")).ok_or(StatusCode::UNAUTHORIZED)?;
    let verified = jsonwebtoken::decode::<Verified>(token, &app.verifying, &app.validation);
    let Verified { sub, sid, role, exp } = verified.map_err(|_| StatusCode::UNAUTHORIZED)?.claims;
    let user = UserView { id: sub, name: String::new(), role };
    Ok(Json(Me { user, session: sid, session_expires: exp }))
}

fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[ISSUER]);
    validation
}

#[derive(Deserialize)]
struct Verified {
    sub: String,
    sid: String,
    role: String,
    exp: i64,
}

#[derive(Serialize)]
struct Me {
    user: UserView,
    session: String,
    session_expires: i64,
}

async fn login(State(app): State<App>, Json(body): Json<LoginBody>) -> Answer {
    let _permit = app.hashing.acquire().await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let hash = Arc::clone(&app.password);
    let is_right = tokio::task::spawn_blocking(move || {
        let hash = PasswordHash::new(&hash).expect("it is ours");
        Argon2::default().verify_password(body.password.as_bytes(), &hash).is_ok()
    });
    if !is_right.await.unwrap_or(false) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let (id, secret) = (rand::random::<i64>(), rand::random::<Secret>());
    let user = app.in_database(move |database| open_session(database, &body.username, id, &secret)).await?;
    app.grant(id, &secret, user)
}

fn open_session(
    database: &mut Connection,
    name: &str,
    id: i64,
    secret: &Secret,
) -> rusqlite::Result<UserView> {
    let now = unix_secs();
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute(
        "INSERT INTO users (name, role, disabled) VALUES (?1, 'user', 0) ON CONFLICT (name) DO NOTHING",
        params![name],
    )?;
    let user: i64 =
        transaction.query_row("SELECT id FROM users WHERE name = ?1", params![name], |row| row.get(0))?;
    transaction.execute(
        "INSERT INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![id, user, hash_of(secret), now, now + LIFETIME_SECS, now + INACTIVITY_SECS],
    )?;
    transaction.commit()?;
    Ok(UserView { id: format!("{user:016x}"), name: name.to_owned(), role: "user".to_owned() })
}

async fn refresh(State(app): State<App>, Json(body): Json<RefreshBody>) -> Answer {
    let (id, presented) = read_token(&body.refresh_token).ok_or(StatusCode::UNAUTHORIZED)?;
    let next = rand::random::<Secret>();
    let user = app.in_database(move |database| rotate(database, id, &presented, &next)).await?;
    app.grant(id, &next, user.ok_or(StatusCode::UNAUTHORIZED)?)
}

/// Puts `next` in the place of the presented secret, or ends the session when that one is spent.
fn rotate(
    database: &mut Connection,
    id: i64,
    presented: &Secret,
    next: &Secret,
) -> rusqlite::Result<Option<UserView>> {
    let now = unix_secs();
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = transaction
        .prepare_cached(
            "SELECT token_hash, expires, users.id, name, role FROM sessions JOIN users ON users.id = user
             WHERE sessions.id = ?1 AND NOT disabled AND min(expires, idle_expires) > ?2",
        )?
        .query_row(params![id, now], |row| {
            let user = UserView {
                id: format!("{:016x}", row.get::<_, i64>(2)?),
                name: row.get(3)?,
                role: row.get(4)?,
            };
            Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, i64>(1)?, user))
        })
        .optional()?;
    let Some((token_hash, expires, user)) = found else { return Ok(None) };
    let is_current: bool = token_hash.ct_eq(&hash_of(presented)).into();
    if is_current {
        transaction
            .prepare_cached("UPDATE sessions SET token_hash = ?2, idle_expires = ?3 WHERE id = ?1")?
            .execute(params![id, hash_of(next), expires.min(now + INACTIVITY_SECS)])?;
    } else {
        transaction.execute("DELETE FROM sessions WHERE id = ?1", params![id])?;
    }
    transaction.commit()?;
    Ok(is_current.then_some(user))
}

impl App {
    /// Waits for the database, then works with it where blocking is allowed.
    async fn in_database<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StatusCode> {
        let mut database = Arc::clone(&self.database).lock_owned().await;
        let worked = tokio::task::spawn_blocking(move || work(&mut database)).await;
        worked.ok().and_then(Result::ok).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn grant(&self, id: i64, secret: &Secret, user: UserView) -> Answer {
        let (now, session) = (unix_secs(), URL_SAFE_NO_PAD.encode(id.to_be_bytes()));
        let claims = Claims {
            iss: ISSUER,
            sub: &user.id,
            aud: ISSUER,
            exp: now + ACCESS_TTL_SECS,
            iat: now,
            jti: format!("{:016x}", rand::random::<u64>()),
            sid: &session,
            role: &user.role,
        };
        let access_token = jsonwebtoken::encode(&Header::default(), &claims, &self.signing)
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        Ok(Json(Grant {
            access_token,
            token_type: "Bearer",
            expires_in: ACCESS_TTL_SECS,
            session,
            user,
            rotated: true,
            refresh_token: URL_SAFE_NO_PAD.encode([id.to_be_bytes().as_slice(), secret].concat()),
        }))
    }
}

fn read_token(token: &str) -> Option<(i64, Secret)> {
    let bytes: [u8; ID_LEN + SECRET_LEN] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
    let (id, secret) = bytes.split_first_chunk::<ID_LEN>()?;
    Some((i64::from_be_bytes(*id), secret.try_into().ok()?))
}

fn hash_of(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret).into()
}

fn unix_secs() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since_epoch.as_secs()).expect("seconds fit for a long time")
}
