//! `estiba registry config`.

use crate::runner::Env;

#[test]
fn the_documented_file_can_be_used() {
    let env = Env::new();
    let documented = env.ok(&["registry", "config", "--default"]);
    assert!(documented.contains("#address = \"127.0.0.1:5000\""), "{documented}");
    env.write("r.toml", &documented);
    assert_eq!(env.ok(&["registry", "config", "--config", "r.toml", "--check"]), "ok\n");
    assert_eq!(env.ok(&["registry", "config", "--config", "r.toml"]), env.ok(&["registry", "config"]));
}

#[test]
fn what_holds_is_shown_without_secrets() {
    let env = Env::new();
    env.write(
        "r.toml",
        "[page]\ntitle = \"file\"\n[[webhook.endpoint]]\nurl = \"http://a/\"\nheaders = { Authorization = \"s3cret\" }\n",
    );
    let shown = |title: &str| {
        let mut command = env.command(&["registry", "config"]);
        command.env("ESTIBA_REGISTRY_CONFIG", "r.toml");
        if !title.is_empty() {
            command.env("ESTIBA_REGISTRY_PAGE_TITLE", title);
        }
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(shown("").contains("title = \"file\""));
    let text = shown("environment");
    assert!(text.contains("title = \"environment\"") && text.contains("Authorization = \"(hidden)\""), "{text}");
    assert!(!text.contains("s3cret"));
}

#[test]
fn sub_verbs_have_help_pages_and_completions() {
    let env = Env::new();
    let help = env.ok(&["registry", "--help"]);
    assert!(help.contains("The registry's data directory") && !help.contains("The store's folder"), "{help}");
    for verb in ["serve", "status", "gc", "config"] {
        assert!(help.contains(verb), "{help}");
        let help = env.ok(&["registry", verb, "--help"]);
        assert!(help.contains("Examples:") && help.contains("--root") && !help.starts_with("Arguments"), "{help}");
    }
    let error = env.fails(125, &["registry", "serv"]);
    assert!(error.contains("serv") && error.contains("serve"), "{error}");
    assert!(env.fails(125, &["registry"]).contains("Usage: estiba registry"));
    let completions = env.ok(&["completions", "bash"]);
    assert!(completions.contains("allow-sparse"), "registry serve is missing");
    env.ok(&["man", "pages"]);
    let page = std::fs::read_to_string(env.work().join("pages/estiba-registry-serve.1")).unwrap();
    assert!(page.contains("allow\\-sparse"), "{page}");
}
