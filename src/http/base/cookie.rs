//! One cookie in, one cookie out.
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

/// A cookie came more than once: whoever set the second one may not be who set the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous;

/// The value of the one cookie of this name. A browser may send several `Cookie` headers over HTTP/2.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Ambiguous> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Ambiguous),
    }
}

/// `Set-Cookie` for a cookie that only this host gets, over TLS only, and that no script reads. A value of other than
/// visible ASCII is no cookie's and gives none.
pub fn set(name: &str, value: &str, max_age_seconds: i64) -> Option<HeaderValue> {
    let text = format!("{name}={value}; Path=/; Max-Age={max_age_seconds}; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&text).ok()
}

/// `Set-Cookie` that takes the cookie away.
pub fn clear(name: &str) -> Option<HeaderValue> {
    set(name, "", 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[&'static str]) -> Result<Option<String>, Ambiguous> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_static(line));
        }
        find(&headers, "__Host-s").map(|value| value.map(str::to_owned))
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(found(&["a=1; __Host-s=x.y.z; b=2"]), Ok(Some("x.y.z".to_owned())));
        assert_eq!(found(&["a=1", "__Host-s=x"]), Ok(Some("x".to_owned())));
        assert_eq!(found(&["__host-s=x; Host-s=y; x__Host-s=z; __Host-s2=z; __Host-s"]), Ok(None));
    }

    #[test]
    fn a_cookie_that_comes_twice_is_none() {
        assert_eq!(found(&["__Host-s=x; __Host-s=y"]), Err(Ambiguous));
        assert_eq!(found(&["__Host-s=x", "__Host-s=x"]), Err(Ambiguous));
    }

    #[test]
    fn a_cookie_is_set_for_this_host_alone() {
        let set = set("__Host-s", "x", 900).unwrap();
        assert_eq!(set, "__Host-s=x; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax");
        assert_eq!(
            clear("__Host-s").unwrap(),
            "__Host-s=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
        );
    }
}
