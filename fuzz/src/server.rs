//! A server without sockets and files: fixed keys, two users with a session each, and requests written as text.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::{env, fs, process};

use latchkey::api::{App, Method, Request, Response, Routes, TokenTerms};
use latchkey::clock::Clock;
use latchkey::command::{self, NewUser, SignIn, Verified};
use latchkey::day::Day;
use latchkey::gate::TrustedProxies;
use latchkey::gate::parse::PASSED_ON;
use latchkey::hasher::{Hasher, Profile};
use latchkey::keys::{KeyRing, Keys};
use latchkey::metrics::Metrics;
use latchkey::one_time_code::{Era, Purpose};
use latchkey::password::Password;
use latchkey::session::{Policy, Session, SessionId};
use latchkey::settings::InForce;
use latchkey::site::PublicUrl;
use latchkey::store::{Reads, Store, StoreError, Writes, fuzzing};
use latchkey::throttle::Throttle;
use latchkey::time::{Now, UnixMillis};
use latchkey::user::{PasswordHash, Role, User, UserId};
use token_core::{NewClaims, RefreshToken};

use crate::plain_site::LISTED;
use crate::{NOW, cookie};

const POLICY: Policy = Policy { grace_secs: 30, inactivity_secs: 604_800, lifetime_secs: 2_592_000 };
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Where the server is.
pub const ORIGIN: &str = "http://127.0.0.1:8080";
/// The password of both users.
const PASSWORD: &str = "correct horse battery staple";
/// The users' ids; each has one session, whose random part is zeros.
const ALICE: UserId = UserId(1);
const ADMIN: UserId = UserId(2);

/// Keys that are the same in every run.
pub fn keys() -> Arc<Keys> {
    static KEYS: LazyLock<KeyRing> = LazyLock::new(key_ring);
    KEYS.current()
}

fn key_ring() -> KeyRing {
    let path = env::temp_dir().join(format!("latchkey-fuzz-{}.keys", process::id()));
    fs::write(&path, format!("latchkey-keys 1\n1 {}\n2 {}\n", "B".repeat(42) + "A", "C".repeat(42) + "A"))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)))
        .expect("the temporary folder takes a file");
    let keys = Keys::read(&path).expect("two keys");
    fs::remove_file(&path).expect("it was just made");
    KeyRing::new(path, keys)
}

/// A user, and a session that began at [`NOW`].
pub fn user_and_session(policy: &Policy) -> (User, Session) {
    let user = User {
        name: "alice".to_owned(),
        role: Role::User,
        disabled: false,
        auth_epoch: 0,
        created: UnixMillis(0),
        password_hash: PasswordHash(String::new()),
    };
    let session = Session::begin(&user, 1, ADDRESS, "", Now::at(UnixMillis::from_secs(NOW)), policy);
    (user, session)
}

/// A request as it was asked, its words for credentials replaced.
#[derive(Debug)]
pub struct Asked {
    pub method: Method,
    target: String,
    fields: Vec<(String, String)>,
    body: String,
}

impl Asked {
    /// `None` when it is none that the gate lets through.
    fn read(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\n\n")?;
        let mut lines = head.lines();
        let (method, target) = lines.next()?.split_once(' ')?;
        let method = Method::of(method);
        let fields: Vec<_> = lines.map(|line| line.split_once(": ")).collect::<Option<_>>()?;
        // The gate lets through no others, and each but once.
        let is_known = |name: &str| PASSED_ON.contains(&name) || name == "cookie";
        let mut names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        if !names.iter().all(|name| is_known(name)) || names.windows(2).any(|pair| pair[0] == pair[1]) {
            return None;
        }
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Some(Self { method, target: target.to_owned(), fields, body: body.to_owned() })
    }

    /// The value of a field of its head.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// Sends a request to a server that nobody has asked anything before; `None` when it is none.
///
/// It is the request line, lines of fields, an empty line and the body. These words stand for good credentials:
/// `ALICE-TOKEN` `ADMIN-TOKEN` for access tokens, `ALICE-COOKIE` `ADMIN-COOKIE` for refresh tokens, `ALICE-CODE` for a
/// one-time code, `ALICE-ID` `ADMIN-ID` for users, `ALICE-SESSION` `ADMIN-SESSION` for handles.
pub fn answer(input: &str) -> Option<(Asked, Response)> {
    static APP: LazyLock<Mutex<App>> = LazyLock::new(|| Mutex::new(start()));
    let mut app = APP.lock().unwrap_or_else(PoisonError::into_inner);
    let asked = Asked::read(&with_credentials(input, &app))?;
    restore(&app.store, &app.hasher, app.clock.now());
    app.throttle = Throttle::default();
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let fields: Vec<_> = asked.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let request = Request {
        id: "request",
        method: asked.method,
        path,
        query,
        fields: &fields,
        body: asked.body.as_bytes(),
        client: ADDRESS,
        is_forwarded: false,
    };
    let response = app.answer(&request).wait(&app);
    Some((asked, response))
}

fn start() -> App {
    let clock = Clock::starting_at(UnixMillis::from_secs(NOW));
    let hasher = Hasher::new(1, Profile::Least);
    let store = fuzzing::in_memory().expect("memory can be written");
    store.use_audit_key(keys().signing_audit_key().clone());
    App {
        store,
        keys: key_ring(),
        hasher,
        password_chars_min: 15,
        policy: POLICY,
        tokens: TokenTerms { issuer: ORIGIN.to_owned(), audience: ORIGIN.to_owned(), access_ttl_secs: 600 },
        public_url: PublicUrl::parse(ORIGIN).expect("it is loopback"),
        allowed_origins: vec![LISTED.to_owned()],
        cookie: cookie(),
        throttle: Throttle::default(),
        metrics: Arc::new(Metrics::default()),
        day: Day::starting_at(clock.now().system),
        clock,
        routes: Routes::default(),
        monitors: TrustedProxies::default(),
        notices: Arc::default(),
        in_force: InForce::default(),
    }
}

/// Brings a store to its beginning: two users, each with one session.
fn fill(store: &Store, hasher: &Hasher, now: Now) {
    static HASH: Mutex<Option<PasswordHash>> = Mutex::new(None);
    let mut hash = HASH.lock().unwrap_or_else(PoisonError::into_inner);
    let new_hash = || hasher.hash(&Password::new(PASSWORD.to_owned())).expect("nobody else waits");
    let hash = hash.get_or_insert_with(new_hash).clone();
    let fill = move |writes: &mut Writes<'_>| {
        delete_all(writes)?;
        for (id, name, role) in [(ALICE, "alice", Role::User), (ADMIN, "admin", Role::Admin)] {
            let (name, password_hash) = (name.parse().expect("a name"), hash.clone());
            command::add_user(writes, NewUser { id, name, role, password_hash }, None, now)?;
            let sign_in = SignIn {
                user: id,
                verified: Verified { hash: hash.clone(), epoch: 0 },
                upgraded: None,
                replaces: None,
                id: SessionId::new(id, [0; 8]),
                kid: 2,
                address: ADDRESS,
                label: String::new(),
            };
            command::sign_in(writes, &sign_in, now, &POLICY)?.expect("it is the same password");
        }
        Ok(())
    };
    store.write(fill).expect("memory can be written");
}

/// All users, each with all sessions.
type Contents = Vec<(UserId, User, Vec<(SessionId, Session)>)>;

fn contents(store: &Store) -> Contents {
    let look = |reads: &Reads| {
        let all = reads.users()?.into_iter();
        all.map(|(id, user)| Ok((id, user, reads.sessions_of(id)?))).collect()
    };
    store.read(look).expect("memory can be read")
}

/// Brings a store to its beginning unless it is there: most requests change nothing, and looking is much quicker.
fn restore(store: &Store, hasher: &Hasher, now: Now) {
    static BEGINNING: Mutex<Option<Contents>> = Mutex::new(None);
    let mut beginning = BEGINNING.lock().unwrap_or_else(PoisonError::into_inner);
    if beginning.as_ref() != Some(&contents(store)) {
        fill(store, hasher, now);
        *beginning = Some(contents(store));
    }
}

/// Deletes every user with every session.
pub(crate) fn delete_all(writes: &mut Writes<'_>) -> Result<(), StoreError> {
    for (id, _) in writes.users()? {
        command::delete_user(writes, id, None, Now::default())?;
    }
    Ok(())
}

fn with_credentials(input: &str, app: &App) -> String {
    let keys = app.keys.current();
    let mut request = input.to_owned();
    for (user, name, role) in [(ALICE, "ALICE", "user"), (ADMIN, "ADMIN", "admin")] {
        if !request.contains(name) {
            continue;
        }
        let id = SessionId::new(user, [0; 8]);
        let claims = NewClaims {
            issuer: Some(ORIGIN),
            subject: Some(&user.to_string()),
            audience: Some(ORIGIN),
            expires_at: app.clock.now().system.as_secs() + 60,
            session: Some(&id.handle()),
            role: Some(role),
            ..NewClaims::default()
        };
        let mut room = [0; 2048];
        let access = keys.access_signing().sign(&claims, &mut room).expect("short claims");
        let refresh = RefreshToken { kid: 2, session: id.0, generation: 1 };
        let refresh = refresh.encode(keys.refresh(2).expect("there are two keys"));
        let (code, _) = keys.signing_code_key().issue(
            Era::default(),
            Purpose::Reset { user, epoch: 0 },
            app.clock.now().system,
        );
        for (word, value) in [
            ("TOKEN", access),
            ("COOKIE", refresh.as_str()),
            ("CODE", &code),
            ("ID", &user.to_string()),
            ("SESSION", &id.handle()),
        ] {
            request = request.replace(&format!("{name}-{word}"), value);
        }
    }
    request
}
