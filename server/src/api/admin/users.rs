//! Users: list, search, add, change, delete, and one-time codes for those who lost their password.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};

use super::super::outcome::Answer;
use super::super::{App, Request, Response};
use super::{administer, administrator, page_len};
use crate::administration::{ResetCode, UserRow};
use crate::audit::Event;
use crate::command::{self, NewUser};
use crate::entropy;
use crate::one_time_code::Era;
use crate::password::Password;
use crate::problem::{Code, Problem};
use crate::store::UsersPage;
use crate::user::{Name, PasswordHash, Role, User, UserId, folded};

/// `GET /api/admin/users`
pub(in super::super) fn list(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    #[derive(Serialize)]
    struct Page {
        users: Vec<UserRow>,
        next: Option<String>,
    }
    let now = app.authenticate_as(Role::Admin, request)?.now;
    let [search, after, limit] = request.parameters(["search", "after", "limit"])?;
    let part = search.map(|part| folded(&part)).unwrap_or_default();
    let after = after.map(|cursor| name_at(&cursor)).transpose()?.unwrap_or_default();
    let limit = page_len(limit)?;
    let page = app.store.read(|reads| {
        let UsersPage { users, next } = reads.users_after(&after, &part, limit)?;
        let rows = users.into_iter().map(|(id, user)| UserRow::read(reads, id, user, now));
        Ok(Page { users: rows.collect::<Result<_, _>>()?, next: next.map(|name| cursor_at(&name)) })
    })?;
    Ok(Response::json(&page).into())
}

/// Where a page ends: a name, as nobody would type it, so that what is no cursor is refused.
fn cursor_at(name: &str) -> String {
    Base64UrlUnpadded::encode_string(name.as_bytes())
}

fn name_at(cursor: &str) -> Result<String, Problem> {
    let name = Base64UrlUnpadded::decode_vec(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    name.filter(|name| !name.is_empty()).ok_or(Problem::bad_request("after is the `next` of a page"))
}

/// `GET /api/admin/users/{id}`
pub(in super::super) fn show(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let now = app.authenticate_as(Role::Admin, request)?.now;
    let id = named_user(request)?;
    let row = app
        .store
        .read(|reads| reads.user(id)?.map(|user| UserRow::read(reads, id, user, now)).transpose())?;
    Ok(Response::json(&row.ok_or(Code::NotFound)?).into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUserBody {
    username: String,
    #[serde(default)]
    role: RoleName,
    #[serde(default)]
    password: Option<Password>,
}

/// Read as a string: left to itself, serde would take `{"admin": null}` as well.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct RoleName(Role);

impl Default for RoleName {
    fn default() -> Self {
        Self(Role::User)
    }
}

impl TryFrom<String> for RoleName {
    type Error = crate::user::NoRole;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// Refuses a new user who can be refused without hashing a password.
pub(in super::super) fn precheck_add(app: &App, request: &Request<'_>) -> Result<(), Problem> {
    administrator(app, request)?;
    let body: NewUserBody = request.json()?;
    let _: Name = body.username.parse()?;
    Ok(())
}

/// `POST /api/admin/users`: with a password, or with a one-time code by which the user chooses one.
pub(in super::super) fn add(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    #[derive(Serialize)]
    struct Added {
        #[serde(flatten)]
        user: UserRow,
        #[serde(skip_serializing_if = "Option::is_none")]
        reset: Option<ResetLink>,
    }
    let actor = administrator(app, request)?;
    let body: NewUserBody = request.json()?;
    let name = Name::chosen(&body.username)?;
    let has_password = body.password.is_some();
    let password_hash = match &body.password {
        Some(password) => app.new_hash(&name, password)?,
        None => unknown_password(app)?,
    };
    let id = UserId::new(entropy::bytes());
    let new = NewUser { id, name, role: body.role.0, password_hash };
    Ok(administer(
        app,
        actor,
        move |writes, now| {
            let added = command::add_user(writes, new, Some(actor), now)?;
            let era = writes.era()?;
            Ok(added.map(|user| (user, era)).ok_or(Code::NameTaken))
        },
        move |app, (user, era)| {
            let reset = (!has_password).then(|| issue(app, id, &user, era));
            Response::created(&Added { user: UserRow::new(id, user, 0), reset })
        },
    ))
}

/// A one-time code, and where the page takes it: under the public URL, whatever the administrator's browser calls us.
#[derive(Serialize)]
struct ResetLink {
    #[serde(flatten)]
    code: ResetCode,
    link: String,
}

fn issue(app: &App, id: UserId, user: &User, era: Era) -> ResetLink {
    let code = ResetCode::issue(&app.keys.current(), era, id, user, app.clock.now());
    ResetLink { link: format!("{}/#reset={}", app.public_url, code.code), code }
}

/// The hash of a password that nobody will ever know.
fn unknown_password(app: &App) -> Result<PasswordHash, Problem> {
    let random: [u8; 32] = entropy::bytes();
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(app.hasher.hash(&Password::new(text))?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    #[serde(default)]
    role: Option<RoleName>,
    #[serde(default)]
    disabled: Option<bool>,
}

/// `PATCH /api/admin/users/{id}`: another role, disabled or enabled; what changes ends every session of the user.
pub(in super::super) fn change(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let actor = administrator(app, request)?;
    let id = named_user(request)?;
    let body: ChangeBody = request.json()?;
    let role = body.role.map(|role| role.0);
    Ok(administer(
        app,
        actor,
        move |writes, now| {
            let Some(mut user) = writes.user(id)? else { return Ok(Err(Code::NotFound)) };
            let loses_the_role = role.is_some_and(|role| role != Role::Admin) || body.disabled == Some(true);
            if loses_the_role && !command::is_dispensable(writes, id)? {
                return Ok(Err(Code::LastAdmin));
            }
            if let Some(role) = role.filter(|role| *role != user.role) {
                let change = |user: &mut User| user.role = role;
                user = command::change_user(writes, id, Event::RoleChanged, Some(actor), now, change)?
                    .unwrap_or(user);
            }
            if let Some(disabled) = body.disabled.filter(|disabled| *disabled != user.disabled) {
                let event = if disabled { Event::UserDisabled } else { Event::UserEnabled };
                let change = |user: &mut User| user.disabled = disabled;
                user = command::change_user(writes, id, event, Some(actor), now, change)?.unwrap_or(user);
            }
            Ok(Ok(UserRow::counting(id, user, &writes.sessions_of(id)?, now)))
        },
        |_, row| Response::json(&row),
    ))
}

/// `DELETE /api/admin/users/{id}`
pub(in super::super) fn delete(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let actor = administrator(app, request)?;
    let id = named_user(request)?;
    Ok(administer(
        app,
        actor,
        move |writes, now| {
            if !command::is_dispensable(writes, id)? {
                return Ok(Err(Code::LastAdmin));
            }
            Ok(command::delete_user(writes, id, Some(actor), now)?.then_some(()).ok_or(Code::NotFound))
        },
        |_, ()| Response::no_content(),
    ))
}

/// `POST /api/admin/users/{id}/reset`: a one-time code; the password stays as it is until it is used.
pub(in super::super) fn issue_code(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let actor = administrator(app, request)?;
    let id = named_user(request)?;
    Ok(administer(
        app,
        actor,
        move |writes, now| Ok(command::note_code(writes, id, Some(actor), now)?.ok_or(Code::NotFound)),
        move |app, (user, era)| Response::json(&issue(app, id, &user, era)),
    ))
}

/// `DELETE /api/admin/users/{id}/sessions`
pub(in super::super) fn end_sessions(app: &App, request: &Request<'_>) -> Result<Answer, Problem> {
    let actor = administrator(app, request)?;
    let id = named_user(request)?;
    Ok(administer(
        app,
        actor,
        move |writes, now| {
            let revoked = command::revoke_all_sessions(writes, id, Some(actor), now)?;
            Ok(revoked.map(|_| ()).ok_or(Code::NotFound))
        },
        |_, ()| Response::no_content(),
    ))
}

/// The user whom the path names, as far as that can be an id.
fn named_user(request: &Request<'_>) -> Result<UserId, Problem> {
    // "", "api", "admin", "users", the id
    request.segment(4).parse().map_err(|_| Code::NotFound.into())
}
