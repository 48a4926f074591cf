use proptest::prelude::*;
use tenure_aggregates::values::{
    DESCRIPTION_MAX, Email, IMAGE_URL_MAX, LINK_MAX, NAME_MAX, PHONE_MAX, REASON_MAX, Slug, line, link,
    paragraph, social,
};
use tenure_aggregates::{MembershipId, UserId};

use crate::{email, user, workspace_id};

#[track_caller]
fn code<T: std::fmt::Debug>(result: Result<T, tenure_aggregates::values::Invalid>) -> &'static str {
    result.expect_err("is refused").code
}

// ---- e-mail: one rule (attack 25)

#[track_caller]
fn same(one: &str, other: &str) {
    assert_eq!(email(one), email(other));
}

#[track_caller]
fn different(one: &str, other: &str) {
    assert_ne!(email(one), email(other));
}

#[test]
fn blanks_around_an_address_do_not_count() {
    same(" \tada@acme.test\n", "ada@acme.test");
}

#[test]
fn case_does_not_count_in_an_address() {
    same("Ada.Lovelace@ACME.Test", "ada.lovelace@acme.test");
    same("ÅSA@acme.test", "åsa@acme.test");
}

#[test]
fn composed_and_decomposed_letters_are_the_same() {
    same("jose\u{301}@acme.test", "jos\u{e9}@acme.test");
    same("A\u{30a}sa@acme.test", "\u{e5}sa@acme.test");
    same("\u{212a}ay@acme.test", "kay@acme.test"); // the Kelvin sign is a K, says Unicode
}

// [Keycloak#50063]
#[test]
fn a_dotted_or_dotless_i_is_not_a_plain_i() {
    different("\u{130}da@acme.test", "ida@acme.test");
    different("\u{131}da@acme.test", "ida@acme.test");
    different("\u{130}da@acme.test", "\u{131}da@acme.test");
    same("IDA@acme.test", "ida@acme.test");
}

#[test]
fn a_letter_that_only_looks_alike_is_another_one() {
    different("\u{430}da@acme.test", "ada@acme.test");
    different("stra\u{df}e@acme.test", "strasse@acme.test");
}

#[test]
fn a_plus_tag_is_kept() {
    different("ada+news@acme.test", "ada@acme.test");
    assert_eq!(email("ada+news@acme.test").as_str(), "ada+news@acme.test");
}

#[test]
fn dots_in_the_local_part_are_kept() {
    different("a.da@gmail.com", "ada@gmail.com");
}

#[test]
fn an_xn_domain_is_its_unicode_form() {
    same("ada@xn--mnchen-3ya.example", "ada@m\u{fc}nchen.example");
    same("ada@XN--MNCHEN-3YA.example", "ada@M\u{dc}NCHEN.example");
    same("ada@mu\u{308}nchen.example", "ada@xn--mnchen-3ya.example");
    assert_eq!(email("ada@xn--mnchen-3ya.example").as_str(), "ada@m\u{fc}nchen.example");
}

#[test]
fn an_xn_domain_that_decodes_to_nothing_is_refused() {
    for text in ["ada@xn--.example", "ada@xn--a.example", "ada@xn--\u{fc}.example", "ada@xn--ls8h=.example"] {
        assert!(Email::parse(text).is_err(), "{text}");
    }
}

#[test]
fn an_address_is_compared_whole_and_never_by_its_beginning() {
    different("ada@acme.test", "ada@acme.test.evil.example");
    different("ada@acme.test", "ada@acme.tes");
    different("ada@acme.test", "lada@acme.test");
    different("a_a@acme.test", "aba@acme.test");
    different("%@acme.test", "ada@acme.test");
}

#[test]
fn what_is_no_address_is_refused() {
    for text in [
        "ada",
        "@acme.test",
        "ada@",
        "ada@@acme.test",
        "a@b@acme.test",
        "ada@acme..test",
        "ada@.acme.test",
        "ada@acme.test.",
        "ada@-acme.test",
        "ada@acme-.test",
        ".ada@acme.test",
        "ada.@acme.test",
        "a..da@acme.test",
        "a da@acme.test",
        "ada@ac me.test",
        "ada@[127.0.0.1]",
        "ada@acme_.test",
    ] {
        assert_eq!(code(Email::parse(text)), "invalid_email", "{text:?}");
    }
}

// A second recipient or header must not fit into an address (attack 27).
#[test]
fn an_address_holds_no_second_one() {
    for text in [
        "ada@acme.test,eve@evil.test",
        "ada@acme.test;eve@evil.test",
        "Ada <ada@acme.test>",
        "\"ada\"@acme.test",
        "(eve)ada@acme.test",
        "ada:eve@acme.test",
        "ada\\@acme.test",
    ] {
        assert_eq!(code(Email::parse(text)), "invalid_email", "{text:?}");
    }
    for text in ["ada@acme.test\r\nBcc: eve@evil.test", "ada\0@acme.test", "ada\u{202e}@acme.test"] {
        assert_eq!(code(Email::parse(text)), "control_character", "{text:?}");
    }
}

#[test]
fn a_domain_is_judged_by_what_idna_makes_of_it() {
    for text in [
        "ada@acme\u{ff20}evil.test",   // ＠ becomes @
        "ada@acme.test\u{ff0c}x.test", // ， becomes ,
        "ada@\u{ff1c}acme.test\u{ff1e}",
        "ada@a\u{2100}b.test",   // ℀ becomes a/c
        "ada@acme\u{ff0e}.test", // ． becomes .
        "ada@\u{ad}.test",       // the soft hyphen vanishes
    ] {
        assert_eq!(code(Email::parse(text)), "invalid_email", "{text:?}");
    }
    same("ada@\u{ff41}cme\u{3002}test", "ada@acme.test");
}

#[test]
fn an_empty_address_is_missing_rather_than_wrong() {
    assert_eq!(code(Email::parse("")), "required");
    assert_eq!(code(Email::parse(" \t ")), "required");
}

// S4.20.
#[test]
fn an_address_has_at_most_255_characters_and_64_before_the_at() {
    let domain = |n: usize| format!("{}.test", "d".repeat(n - 5));
    assert!(Email::parse(&format!("a@{}", domain(253))).is_ok());
    assert_eq!(code(Email::parse(&format!("a@{}", domain(254)))), "too_long");
    assert!(Email::parse(&format!("{}@acme.test", "é".repeat(64))).is_ok());
    assert_eq!(code(Email::parse(&format!("{}@acme.test", "é".repeat(65)))), "invalid_email");
}

// ---- slug

#[test]
fn a_slug_is_3_to_48_of_lower_case_letters_digits_and_hyphens() {
    for text in ["abc", "acme-2", "007", "a--b", &"a".repeat(48)] {
        assert_eq!(Slug::parse(text).unwrap().as_str(), text);
    }
    for text in [
        "",
        "ab",
        "Acme",
        "ac me",
        "acme ",
        "ac_me",
        "ac.me",
        "ac/me",
        "../..",
        "ac%2fme",
        "acmé",
        "аcme",
        "acme\n",
        &"a".repeat(49),
    ] {
        assert_eq!(code(Slug::parse(text)), "invalid_slug", "{text:?}");
    }
}

#[test]
fn a_word_the_product_needs_for_itself_is_no_slug() {
    for text in ["api", "www", "admin", "login", "by-slug", "well-known", "workspaces", "null"] {
        assert_eq!(code(Slug::parse(text)), "reserved", "{text}");
    }
    assert!(Slug::parse("api-acme").is_ok());
}

// ---- names and other lines

// S4.1, S4.4: counted in characters, not in bytes.
#[test]
fn a_name_has_at_most_255_characters() {
    assert_eq!(NAME_MAX, 255);
    for letter in ["a", "é", "漢", "🦀"] {
        assert_eq!(line(&letter.repeat(255), NAME_MAX), Ok(()), "{letter}");
        assert_eq!(code(line(&letter.repeat(256), NAME_MAX)), "too_long", "{letter}");
    }
}

#[test]
fn a_name_is_not_empty_or_blank() {
    for text in ["", " ", "\u{a0}\u{3000}", "\n"] {
        assert_eq!(code(line(text, NAME_MAX)), "required", "{text:?}");
    }
}

// Attacks 27 and 49: no line of a mail or of an audit export is forged with a name.
#[test]
fn a_name_holds_no_control_character() {
    for text in ["Ac\r\nme", "Ac\nme", "Ac\tme", "Ac\0me", "Ac\u{1b}[31mme", "Ac\u{7f}me", "Ac\u{85}me"] {
        assert_eq!(code(line(text, NAME_MAX)), "control_character", "{text:?}");
    }
}

#[test]
fn a_name_holds_no_bidi_override_or_line_separator() {
    for c in
        "\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{2028}\u{2029}\u{feff}"
            .chars()
    {
        assert_eq!(code(line(&format!("Ac{c}me"), NAME_MAX)), "control_character", "{c:?}");
        assert_eq!(code(paragraph(&format!("Ac{c}me"), NAME_MAX)), "control_character", "{c:?}");
    }
}

// Escaping is the matter of whoever writes a mail or a table (attacks 27 and 44).
#[test]
fn a_name_may_be_written_in_any_script_with_any_sign() {
    for text in ["Łódź & Söhne", "株式会社", "שלום", "👩‍👩‍👧", "<b>Acme</b>", "=1+1", "O'Neil \"x\""]
    {
        assert_eq!(line(text, NAME_MAX), Ok(()), "{text}");
    }
}

#[test]
fn a_description_may_have_several_lines() {
    assert_eq!(paragraph("one\n\ttwo", DESCRIPTION_MAX), Ok(()));
    assert_eq!(code(paragraph("one\rtwo", DESCRIPTION_MAX)), "control_character");
    assert_eq!(code(paragraph("one\0two", DESCRIPTION_MAX)), "control_character");
}

// S4.6–10.
#[test]
fn each_text_has_its_longest_length() {
    assert_eq!((PHONE_MAX, LINK_MAX, IMAGE_URL_MAX), (50, 255, 2048));
    assert_eq!((DESCRIPTION_MAX, REASON_MAX), (10_000, 1_000));
    assert_eq!(line(&"1".repeat(50), PHONE_MAX), Ok(()));
    assert_eq!(code(line(&"1".repeat(51), PHONE_MAX)), "too_long");
    assert_eq!(paragraph(&"é".repeat(10_000), DESCRIPTION_MAX), Ok(()));
    assert_eq!(code(paragraph(&"é".repeat(10_001), DESCRIPTION_MAX)), "too_long");
}

// ---- links

#[test]
fn a_link_is_an_absolute_http_or_https_address() {
    for text in [
        "https://acme.test",
        "http://acme.test:8080/a?b=c#d",
        "HTTPS://Acme.test",
        "https://münchen.example/",
        "https://[::1]/",
    ] {
        assert_eq!(link(text, LINK_MAX), Ok(()), "{text}");
    }
}

#[test]
fn any_other_scheme_is_refused() {
    for text in [
        "javascript:alert(1)",
        "JavaScript://acme.test/%0aalert(1)",
        "data:text/html,<script>alert(1)</script>",
        "ftp://acme.test",
        "file:///etc/passwd",
        "mailto:ada@acme.test",
        "vbscript:x",
        "blob:https://acme.test/x",
        "ws://acme.test",
    ] {
        assert_eq!(code(link(text, LINK_MAX)), "invalid_url", "{text}");
    }
}

#[test]
fn what_is_relative_or_no_address_at_all_is_refused() {
    for text in [
        "acme.test",
        "/about",
        "//acme.test",
        "https:acme.test",
        "https:/acme.test",
        "https:\\\\acme.test",
        "https://",
        "http://?x",
        " https://acme.test",
        "https://acme.test/a b",
        "https://acme.test\u{3000}",
    ] {
        assert_eq!(code(link(text, LINK_MAX)), "invalid_url", "{text:?}");
    }
    assert_eq!(code(link("java\nscript:alert(1)", LINK_MAX)), "control_character");
    assert_eq!(code(link("https://acme.test/\r\nSet-Cookie:x", LINK_MAX)), "control_character");
    assert_eq!(code(link("", LINK_MAX)), "required");
}

#[test]
fn a_link_carries_no_credentials() {
    for text in ["https://ada@acme.test", "https://ada:pw@acme.test/", "https://:pw@acme.test/"] {
        let refusal = link(text, LINK_MAX).unwrap_err();
        assert_eq!(refusal.to_string(), "invalid_url: must not carry credentials", "{text}");
    }
}

// S4.5.
#[test]
fn a_link_has_at_most_255_characters() {
    let of = |n: usize| format!("https://acme.test/{}", "é".repeat(n - 18));
    assert_eq!(link(&of(255), LINK_MAX), Ok(()));
    assert_eq!(code(link(&of(256), LINK_MAX)), "too_long");
    assert_eq!(link(&of(2048), IMAGE_URL_MAX), Ok(()));
    assert_eq!(code(link(&of(2049), IMAGE_URL_MAX)), "too_long");
}

#[test]
fn a_social_profile_is_a_handle_or_a_link() {
    for text in ["acme", "@acme", "acme_inc.2-x", "https://x.com/acme", &"a".repeat(100)] {
        assert_eq!(social(text), Ok(()), "{text}");
    }
    for text in ["@", "@@acme", "ac me", "javascript:alert(1)", "acme/x", "akmé", &"a".repeat(101)] {
        assert!(social(text).is_err(), "{text:?}");
    }
    assert_eq!(code(social("")), "required");
}

// ---- ids

#[test]
fn a_user_id_is_compared_letter_by_letter() {
    assert_ne!(user("ada"), user("Ada"));
    assert_ne!(user("jos\u{e9}"), user("jose\u{301}"));
}

#[test]
fn a_user_id_has_1_to_255_characters_without_controls_or_blanks_around_it() {
    assert!(UserId::parse("auth0|5f7c8ec7c33c6c004bbafe82").is_ok());
    assert!(UserId::parse("https://idp.test/users/42").is_ok());
    assert!(UserId::parse(&"é".repeat(255)).is_ok());
    assert_eq!(code(UserId::parse(&"é".repeat(256))), "too_long");
    assert_eq!(code(UserId::parse("")), "required");
    assert_eq!(code(UserId::parse(" ")), "required");
    assert_eq!(code(UserId::parse(" ada")), "invalid");
    assert_eq!(code(UserId::parse("ada\u{3000}")), "invalid");
    assert_eq!(code(UserId::parse("a\0da")), "control_character");
    assert_eq!(code(UserId::parse("ada\n")), "control_character");
}

#[test]
fn a_membership_id_follows_from_the_workspace_and_the_user() {
    let id = MembershipId::of(workspace_id(1), &user("ada"));
    assert_eq!(id, MembershipId::of(workspace_id(1), &user("ada")));
    assert_ne!(id, MembershipId::of(workspace_id(2), &user("ada")));
    assert_ne!(id, MembershipId::of(workspace_id(1), &user("mona")));
    assert_eq!(id.0.get_version_num(), 5);
    assert_eq!(id.to_string(), "09ce525e-fe83-5b98-8008-f1c01b57f3df", "never changes: it is stored");
}

proptest! {
    // Attack 43.
    #[test]
    fn no_text_breaks_a_rule(text in any::<String>()) {
        let _ = (line(&text, 10), paragraph(&text, 10), link(&text, LINK_MAX), social(&text));
        let _ = (Slug::parse(&text), UserId::parse(&text), Email::parse(&text));
    }

    #[test]
    fn an_address_in_its_one_form_is_in_its_one_form(
        text in "[a-zA-ZÀ-ſİı＠．+._ ]{1,8}@[a-zA-ZÀ-ſ＠．，＜\u{2100}\u{ad}-]{1,8}\\.(test|xn--mnchen-3ya|Straße|ß)"
    ) {
        if let Ok(email) = Email::parse(&text) {
            prop_assert_eq!(email.as_str().matches('@').count(), 1);
            prop_assert_eq!(Email::parse(email.as_str()), Ok(email));
        }
    }

    #[test]
    fn an_address_that_was_taken_is_one_line_without_blanks(text in "\\PC{1,20}@\\PC{1,20}") {
        if let Ok(email) = Email::parse(&text) {
            prop_assert!(!email.as_str().contains(|c: char| c.is_whitespace() || c.is_control()));
            prop_assert_eq!(Email::parse(email.as_str()), Ok(email));
        }
    }
}
