use super::*;
use crate::time::Instant;

/// RFC 7515, appendix A.2.
const RS256: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
/// Its key.
const RSA: &str = r#"{"kty":"RSA","kid":"r","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
/// RFC 7515, appendix A.3.
const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
/// Its key.
const P256: &str = r#"{"kty":"EC","crv":"P-256","kid":"p","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
/// RFC 8037, appendix A.
const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"e","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn set(entries: &[&str]) -> KeySet {
    KeySet::parse(format!("{{\"keys\":[{}]}}", entries.join(",")).as_bytes()).unwrap()
}

fn with_header(header: &str) -> String {
    let mut parts = ES256.split('.');
    parts.next();
    format!("{}.{}", encode(header.as_bytes()), parts.collect::<Vec<_>>().join("."))
}

#[test]
fn the_examples_of_the_specifications_verify() {
    let keys = set(&[RSA, P256, ED25519]);
    for (token, kid) in [(RS256, "r"), (ES256, "p")] {
        let parts = Parts::parse(token).unwrap();
        assert_eq!(parts.issuer(), Some("joe"));
        assert_eq!(Times::of(&parts.claims).unwrap().expires, 1_300_819_380);
        parts.verify(keys.find(Some(kid), &parts.algorithm).unwrap()).unwrap();
        parts.verify(keys.find(None, &parts.algorithm).unwrap()).unwrap();
    }
    let key = keys.find(Some("e"), "EdDSA").unwrap();
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert!(key.verify("EdDSA", b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", &signature));
}

#[test]
fn claims_need_a_signature() {
    let keys = |key: &str| format!("{{\"keys\":[{key}]}}");
    assert_eq!(claims(ES256, keys(P256).as_bytes()).unwrap()["iss"], "joe");
    assert_eq!(claims(ES256, keys(RSA).as_bytes()).unwrap_err(), Error::UnknownKey);
    assert_eq!(claims(ES256, b"{}").unwrap_err(), Error::Unavailable);
}

#[test]
fn a_changed_token_does_not_verify() {
    let keys = set(&[P256]);
    let key = keys.find(None, "ES256").unwrap();
    let (signed, signature) = ES256.rsplit_once('.').unwrap();
    let other = signed.replace("eyJpc3MiOiJqb2UiL", "eyJpc3MiOiJqb2UyL");
    let changed = format!("{other}.{signature}");
    if let Ok(parts) = Parts::parse(&changed) {
        assert_eq!(parts.verify(key), Err(Error::Signature));
    }
    let zero = format!("{signed}.{}", encode(&[0; 64]));
    assert_eq!(Parts::parse(&zero).unwrap().verify(key), Err(Error::Signature));
    let empty = format!("{signed}.");
    assert_eq!(Parts::parse(&empty).unwrap().verify(key), Err(Error::Signature));
}

#[test]
fn headers_that_steer_the_check_end_it() {
    let jwk = format!(r#"{{"alg":"ES256","jwk":{P256}}}"#);
    let cases = [
        (jwk.as_str(), Error::Steering("jwk")),
        (r#"{"alg":"ES256","jku":"https://evil/keys"}"#, Error::Steering("jku")),
        (r#"{"alg":"ES256","x5u":"https://evil/chain"}"#, Error::Steering("x5u")),
        (r#"{"alg":"ES256","x5c":["MIIB"]}"#, Error::Steering("x5c")),
        (r#"{"alg":"ES256","crit":["exp"],"exp":1}"#, Error::Steering("crit")),
        (r#"{"alg":"ES256","crit":[]}"#, Error::Steering("crit")),
        (r#"{"alg":"ES256","b64":false}"#, Error::Steering("b64")),
        (r#"{"alg":"ES256","zip":"DEF"}"#, Error::Steering("zip")),
        (r#"{"alg":"ES256","alg":"none"}"#, Error::Malformed),
        (r#"{"kid":"a"}"#, Error::Algorithm),
        (r#"{"alg":["ES256"]}"#, Error::Malformed),
        (r#"{"alg":"ES256","kid":{"a":1}}"#, Error::Malformed),
    ];
    for (header, expected) in cases {
        assert_eq!(Parts::parse(&with_header(header)).unwrap_err(), expected, "{header}");
    }
}

#[test]
fn no_key_takes_another_kind_of_signature() {
    let keys = set(&[RSA, P256]);
    let (rsa, p256) = (keys.find(Some("r"), "RS256").unwrap(), keys.find(Some("p"), "ES256").unwrap());
    for algorithm in ["none", "None", "NONE", "", "HS256", "HS384", "HS512", "ES384", "EdDSA", "ES256K"] {
        let token = with_header(&format!(r#"{{"alg":"{algorithm}"}}"#));
        let parts = Parts::parse(&token).unwrap();
        for key in [rsa, p256] {
            assert_eq!(parts.verify(key), Err(Error::Algorithm), "{algorithm}");
        }
    }
    // The classic: the public key as the secret of an HMAC.
    let signed = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(br#"{"sub":"admin"}"#));
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, RSA.as_bytes());
    let forged = format!("{signed}.{}", encode(ring::hmac::sign(&secret, signed.as_bytes()).as_ref()));
    let parts = Parts::parse(&forged).unwrap();
    assert_eq!(parts.verify(rsa), Err(Error::Algorithm));
    assert!(keys.find(None, "HS256").is_none() && keys.find(Some("r"), "HS256").is_none());
    // An RS256 token under the key of an ES256 one, and the other way round.
    assert_eq!(Parts::parse(RS256).unwrap().verify(p256), Err(Error::Algorithm));
    assert_eq!(Parts::parse(ES256).unwrap().verify(rsa), Err(Error::Algorithm));
}

#[test]
fn malformed_tokens_are_malformed() {
    let long = format!("{ES256}{}", "A".repeat(LONGEST));
    let cases = [
        ("", Error::Malformed),
        ("a", Error::Malformed),
        ("a.b", Error::Malformed),
        ("..", Error::Malformed),
        ("eyJhbGciOiJFUzI1NiJ9.e30", Error::Malformed),
        ("eyJhbGciOiJFUzI1NiJ9.e30.AA.AA.AA", Error::Malformed),
        ("eyJhbGciOiJFUzI1NiJ9.W10.AA", Error::Malformed),
        ("eyJhbGciOiJFUzI1NiJ9.e30=.AA", Error::Malformed),
        ("eyJhbGciOiJFUzI1NiJ9.e30.A+", Error::Malformed),
        (long.as_str(), Error::Long),
    ];
    for (token, expected) in cases {
        assert_eq!(Parts::parse(token).unwrap_err(), expected, "{token:.60}");
    }
    let twice = format!("{}.{}.AA", encode(br#"{"alg":"ES256"}"#), encode(br#"{"aud":"us","aud":"them"}"#));
    assert_eq!(Parts::parse(&twice).unwrap_err(), Error::Malformed);
}

#[test]
fn sets_keep_what_can_sign() {
    let shared = r#"{"kty":"oct","kid":"o","k":"c2VjcmV0"}"#;
    let encrypting = P256.replace(r#""kid":"p""#, r#""kid":"x","use":"enc""#);
    let wrapping = P256.replace(r#""kid":"p""#, r#""kid":"x","key_ops":["wrapKey"]"#);
    let short = r#"{"kty":"RSA","kid":"s","n":"3Q8","e":"AQAB"}"#;
    let curve = P256.replace("P-256", "secp256k1");
    let none = format!("{{\"keys\":[{shared},{encrypting},{wrapping},{short},{curve},7,\"x\"]}}");
    assert_eq!(KeySet::parse(none.as_bytes()), None);
    for wrong in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        assert_eq!(KeySet::parse(wrong.as_bytes()), None, "{wrong}");
    }
    let two = set(&[P256, &P256.replace(r#""kid":"p""#, r#""kid":"q""#)]);
    assert!(two.find(None, "ES256").is_none(), "there is a choice");
    assert!(two.find(Some("q"), "ES256").is_some());
    let bound = set(&[&RSA.replace(r#""kid":"r""#, r#""kid":"r","alg":"RS512""#)]);
    assert!(bound.find(Some("r"), "RS256").is_none() && bound.find(Some("r"), "RS512").is_some());
}

#[test]
fn times_have_an_order() {
    let check = |claims: &str, now: i64| {
        Times::of(&json::object(claims.as_bytes()).unwrap())?.check(Instant(now * 1000), std::time::Duration::ZERO)
    };
    let cases = [
        (r#"{"exp":1000}"#, 999, Ok(())),
        (r#"{"exp":1000}"#, 1059, Ok(())),
        (r#"{"exp":1000}"#, 1060, Err(Error::Expired)),
        (r#"{"exp":1000.7}"#, 999, Ok(())),
        (r#"{"exp":1000,"nbf":900}"#, 899, Ok(())),
        (r#"{"exp":1000,"nbf":900}"#, 839, Err(Error::Early)),
        (r#"{"exp":1000,"iat":900}"#, 839, Err(Error::Early)),
        (r#"{}"#, 0, Err(Error::Claim("exp"))),
        (r#"{"exp":"1000"}"#, 0, Err(Error::Claim("exp"))),
        (r#"{"exp":null}"#, 0, Err(Error::Claim("exp"))),
        (r#"{"exp":1e300}"#, 0, Err(Error::Claim("exp"))),
        (r#"{"exp":1000,"nbf":"0"}"#, 0, Err(Error::Claim("nbf"))),
        (r#"{"exp":9223372036854775807}"#, 5, Ok(())),
    ];
    for (claims, now, expected) in cases {
        assert_eq!(check(claims, now), expected, "{claims} at {now}");
    }
}

#[test]
fn audiences() {
    let ours = ["reg".to_owned(), "https://reg".to_owned()];
    for (claims, expected) in [
        (r#"{"aud":"reg"}"#, true),
        (r#"{"aud":["x","https://reg"]}"#, true),
        (r#"{"aud":"other"}"#, false),
        (r#"{"aud":[]}"#, false),
        (r#"{"aud":{"reg":1}}"#, false),
        (r#"{}"#, false),
        (r#"{"aud":"REG"}"#, false),
    ] {
        let token = format!("{}.{}.AA", encode(br#"{"alg":"ES256"}"#), encode(claims.as_bytes()));
        assert_eq!(Parts::parse(&token).unwrap().is_for(&ours).is_ok(), expected, "{claims}");
    }
}

#[test]
fn what_looks_like_a_token() {
    for (word, expected) in
        [(RS256, true), ("eyJ.a.b", true), ("secret", false), ("eyJ.a", false), ("eyJ.a.b.c", false), ("eyJ..b", false)]
    {
        assert_eq!(looks_like(word), expected, "{word:.30}");
    }
}

proptest::proptest! {
    /// A signature of ECDSA can be written in more than one way, what it signs cannot.
    #[test]
    fn what_is_nearly_a_token_is_none(token in crate::auth::mutation::mutated(&[ES256])) {
        let keys = format!("{{\"keys\":[{P256}]}}");
        let signed = |token: &str| token.rsplit_once('.').map(|(signed, _)| signed.to_owned());
        if claims(&token, keys.as_bytes()).is_ok() {
            proptest::prop_assert_eq!(signed(&token), signed(ES256));
        }
    }

    #[test]
    fn what_is_nearly_a_set_is_read_or_refused(key in crate::auth::mutation::mutated(&[RSA, P256, ED25519])) {
        drop(claims(RS256, format!("{{\"keys\":[{key}]}}").as_bytes()));
    }
}
