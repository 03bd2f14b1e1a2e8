//! A short name for what somebody signed in with, read from User-Agent, for lists that people read.

/// Browsers by the mark that tells them; those that carry another's mark too come first.
const BROWSERS: [(&str, &str); 5] = [
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

/// Systems by the mark that tells them; those that carry another's mark too come first.
const SYSTEMS: [(&str, &str); 6] = [
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

/// `Firefox on Linux` for a browser, the product's name for anything else, empty without a User-Agent.
pub(crate) fn of_user_agent(user_agent: &str) -> String {
    let marked = |marks: &[(&str, &'static str)]| {
        marks.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    match (marked(&BROWSERS), marked(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) => {
            let product = user_agent.split(['/', ' ']).next().unwrap_or_default();
            product.chars().filter(|c| c.is_ascii_graphic()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_named_with_their_system() {
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        assert_eq!(of_user_agent(firefox), "Firefox on Linux");
        let edge = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/139.0 Safari/537.36 Edg/139.0";
        assert_eq!(of_user_agent(edge), "Edge on Windows");
        let phone = "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/139.0 Mobile Safari/537.36";
        assert_eq!(of_user_agent(phone), "Chrome on Android");
    }

    #[test]
    fn programs_are_named_by_their_product() {
        assert_eq!(of_user_agent("curl/8.5.0"), "curl");
        assert_eq!(of_user_agent("latchkey-client/0.1 (linux)"), "latchkey-client");
        assert_eq!(of_user_agent(""), "");
    }
}
