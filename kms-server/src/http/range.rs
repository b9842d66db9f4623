//! The `Range` header, in the one form that a resumed download needs: `bytes=a-` or `bytes=a-b`.

use kms_api::problem::{Code, Problem};
use rocket::Request;
use rocket::request::{FromRequest, Outcome};

use super::guard::note;

/// First byte and, if named, last byte.
pub(super) struct ByteRange(pub(super) Option<(u64, Option<u64>)>);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for ByteRange {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        match request.headers().get_one("Range").map(parse) {
            None => Outcome::Success(Self(None)),
            Some(Some(range)) => Outcome::Success(Self(Some(range))),
            Some(None) => {
                let problem = Problem::new(Code::RangeInvalid, "only bytes=a- and bytes=a-b are understood");
                Outcome::Error((note(request, problem), ()))
            }
        }
    }
}

fn parse(text: &str) -> Option<(u64, Option<u64>)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let first = first.parse().ok()?;
    let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
    last.is_none_or(|last| first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn forms() {
        assert_eq!(parse("bytes=0-"), Some((0, None)));
        assert_eq!(parse("bytes=5-9"), Some((5, Some(9))));
        for text in ["bytes=-5", "bytes=9-5", "bytes=1-2,4-5", "bits=0-", "bytes=a-"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
