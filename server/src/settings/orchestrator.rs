//! Variables that begin like ours and that an orchestrator sets: Kubernetes for each Service of a namespace, and the links
//! of Docker, both under the name of the service, which is `latchkey` or begins so.

use super::PREFIX;

/// Whether a variable that is no setting is one of an orchestrator's, going by its name, and by its value where a person
/// might set one of the same name.
pub(super) fn is_set_by_one(name: &str, value: &str) -> bool {
    let Some(name) = name.strip_prefix(PREFIX) else { return false };
    let ends_in =
        |word: &str| name == word || name.strip_suffix(word).is_some_and(|before| before.ends_with('_'));
    let is_link = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    ends_in("SERVICE_HOST")
        || name.starts_with("SERVICE_PORT")
        || name.contains("_SERVICE_PORT")
        || ends_in("PORT") && is_link
        || is_of_a_port(name)
        || ends_in("NAME") && value.starts_with('/')
        || name.starts_with("ENV_")
        || name.contains("_ENV_")
}

/// `PORT_8080_TCP`, alone or with `_PROTO`, `_PORT`, `_ADDR` or, of a range of Docker's, `_START` and `_END`.
fn is_of_a_port(name: &str) -> bool {
    let mut words = name.split('_').skip_while(|word| *word != "PORT").skip(1);
    let number = words.next().is_some_and(|word| word.parse::<u16>().is_ok());
    let protocol = words.next().is_some_and(|word| ["TCP", "UDP", "SCTP"].contains(&word));
    number && protocol && words.all(|word| ["PROTO", "PORT", "ADDR", "START", "END"].contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_and_docker_set_is_known() {
        for (name, value) in [
            ("LATCHKEY_SERVICE_HOST", "10.96.7.1"),
            ("LATCHKEY_SERVICE_PORT", "8080"),
            ("LATCHKEY_SERVICE_PORT_HTTP", "8080"),
            ("LATCHKEY_PORT", "tcp://10.96.7.1:8080"),
            ("LATCHKEY_PORT", "udp://10.96.7.1:8080"),
            ("LATCHKEY_PORT_8080_TCP", "tcp://10.96.7.1:8080"),
            ("LATCHKEY_PORT_8080_TCP_PROTO", "tcp"),
            ("LATCHKEY_PORT_8080_TCP_PORT", "8080"),
            ("LATCHKEY_PORT_8080_TCP_ADDR", "10.96.7.1"),
            ("LATCHKEY_METRICS_SERVICE_HOST", "10.96.7.2"),
            ("LATCHKEY_METRICS_SERVICE_PORT", "9090"),
            ("LATCHKEY_METRICS_SERVICE_PORT_HTTP", "9090"),
            ("LATCHKEY_METRICS_PORT", "tcp://10.96.7.2:9090"),
            ("LATCHKEY_METRICS_PORT_9090_TCP_ADDR", "10.96.7.2"),
            ("LATCHKEY_NAME", "/web/latchkey"),
            ("LATCHKEY_1_NAME", "/web/latchkey_1"),
            ("LATCHKEY_ENV_PATH", "/usr/bin"),
            ("LATCHKEY_1_ENV_HOME", "/root"),
            ("LATCHKEY_1_PORT_8080_TCP_START", "tcp://172.17.0.2:8080"),
        ] {
            assert!(is_set_by_one(name, value), "{name}={value}");
        }
    }

    #[test]
    fn what_a_person_may_have_meant_is_not_theirs() {
        for (name, value) in [
            ("LATCHKEY_PORT", "8080"),
            ("LATCHKEY_HOST", "0.0.0.0"),
            ("LATCHKEY_NAME", "auth"),
            ("LATCHKEY_PORT_80", "1"),
            ("LATCHKEY_PORT_X_TCP", "1"),
            ("LATCHKEY_PORT_80_TCP_X", "1"),
            ("LATCHKEY_GRACE", "1"),
            ("LATCHKEY_ISSUER_", "x"),
            ("LATCHKEY_SERVICE", "x"),
            ("LATCHKEY_SERVICEHOST", "x"),
            ("LATCHKEY_MICROSERVICE_HOSTS", "x"),
            ("OTHER_SERVICE_HOST", "x"),
        ] {
            assert!(!is_set_by_one(name, value), "{name}={value}");
        }
    }
}
