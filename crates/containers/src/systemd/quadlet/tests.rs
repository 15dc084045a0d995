use super::*;

fn source(name: &str, text: &str) -> Source {
    Source { path: PathBuf::from("/etc/estiba/systemd").join(name), unit: Unit::parse(text).unwrap() }
}

fn made(files: &[(&str, &str)]) -> Vec<Result<Generated, String>> {
    let mut all = Descriptions::default();
    files.iter().for_each(|(name, text)| all.add(source(name, text)));
    let grounds = Grounds { binary: "/usr/bin/estiba".into(), user: false };
    all.generate(&grounds).into_iter().map(|(_, made)| made.map_err(|error| error.to_string())).collect()
}

fn start(generated: &Generated) -> Vec<String> {
    let unit = Unit::parse(&generated.text).unwrap();
    words::split(unit.section("Service").unwrap().last("ExecStart").unwrap()).unwrap()
}

#[test]
fn a_container_with_what_it_names() {
    let text = "[Unit]\nDescription=The web\n[Container]\nImage=localhost/web\nExec=serve --on \"a b\"\nPublishPort=8080:80\n\
                Volume=data.volume:/data:ro\nVolume=./conf:/conf\nNetwork=back.network:alias=web\nEnvironment=A=1 \"B=x y\"\n\
                ReadOnly=yes\nAddCapability=NET_ADMIN CHOWN\nUser=5\nNotify=no\nNoNewPrivileges=true\n\
                [Service]\nRestart=always\n[Install]\nWantedBy=multi-user.target default.target\nAlias=www.service ../../x.service\n";
    let all = made(&[
        ("web.container", text),
        ("data.volume", "[Volume]\nLabel=a=b\nUser=7\n"),
        ("back.network", "[Network]\nSubnet=10.9.0.0/24\nInternal=true\nNetworkName=behind\n"),
    ]);
    let web = all[0].as_ref().unwrap();
    assert_eq!(web.name, "web.service");
    let run = start(web);
    assert_eq!(run[..2], ["/usr/bin/estiba", "run"]);
    for pair in [
        ["--name", "systemd-%N"],
        ["--publish", "8080:80"],
        ["--volume", "systemd-data:/data:ro"],
        ["--volume", "/etc/estiba/systemd/conf:/conf"],
        ["--network", "behind:alias=web"],
        ["--env", "B=x y"],
        ["--cap-add", "CHOWN"],
        ["--security-opt", "no-new-privileges"],
        ["--user", "5"],
    ] {
        assert!(run.windows(2).any(|words| words == pair), "{pair:?} is not in {run:?}");
    }
    assert!(run.contains(&"--sdnotify=conmon".to_owned()) && run.contains(&"--read-only".to_owned()));
    assert_eq!(run[run.len() - 4..], ["localhost/web", "serve", "--on", "a b"]);
    for line in [
        "Requires=data-volume.service",
        "After=back-network.service",
        "Restart=always",
        "[X-Container]",
        "KillMode=mixed",
    ] {
        assert!(web.text.lines().any(|written| written == line), "{line} is not in {}", web.text);
    }
    let links: Vec<_> = web.links.iter().map(|link| link.to_str().unwrap()).collect();
    assert_eq!(links, ["www.service", "multi-user.target.wants/web.service", "default.target.wants/web.service"]);
    let volume = all[1].as_ref().unwrap();
    assert_eq!(
        start(volume),
        ["/usr/bin/estiba", "volume", "create", "--ignore", "--label", "a=b", "--opt", "o=uid=7", "systemd-data"]
    );
    assert_eq!(all[2].as_ref().unwrap().name, "back-network.service");
}

#[test]
fn images_are_pulled_and_built() {
    let all = made(&[
        ("a.container", "[Container]\nImage=a.build\n"),
        ("a.build", "[Build]\nImageTag=localhost/a\nFile=./Dockerfile\nSetWorkingDirectory=unit\n"),
        ("b.image", "[Image]\nImage=registry.example/b:1\nArch=arm64\n"),
    ]);
    assert_eq!(start(all[0].as_ref().unwrap()).last().unwrap(), "localhost/a");
    let build = start(all[1].as_ref().unwrap());
    assert_eq!(build[build.len() - 3..], ["--file", "/etc/estiba/systemd/Dockerfile", "/etc/estiba/systemd"]);
    let pull = start(all[2].as_ref().unwrap());
    assert_eq!(pull[2..], ["--platform", "linux/arm64", "registry.example/b:1"]);
}

#[test]
fn templates_have_instances() {
    let text = "[Container]\nImage=x\n[Install]\nWantedBy=a.target\n";
    let unwanted = made(&[("w@.container", text)]);
    assert!(unwanted[0].as_ref().unwrap().links.is_empty());
    assert!(unwanted[0].as_ref().unwrap().text.contains("--name systemd-%p_%i"));
    let wanted = made(&[("w@.container", &format!("{text}DefaultInstance=one\n"))]);
    let wanted = wanted[0].as_ref().unwrap();
    assert_eq!(
        (wanted.name.as_str(), wanted.links[0].to_str().unwrap()),
        ("w@.service", "a.target.wants/w@one.service")
    );
}

#[test]
fn mistakes_are_named() {
    for (name, text, expected) in [
        ("a.container", "[Container]\n", "[Container] needs `Image`"),
        ("a.container", "[Container]\nImage=x\nImagee=y\n", "has no key `Imagee`"),
        ("a.container", "[Container]\nImage=x\nPod=p.pod\n", "has no key `Pod`: containers that share"),
        ("a.container", "[Container]\nImage=x\nVolume=no.volume:/x\n", "there is no no.volume"),
        ("a.container", "[Container]\nImage=x\nExec=\"open\n", "a quote is not closed"),
        ("a.container", "[Container]\nImage=x\nReadOnly=perhaps\n", "neither yes nor no"),
        ("a.container", "[Container]\nImage=x\nServiceName=../x\n", "no name of a unit"),
        ("a.kube", "[Kube]\nYaml=x\n", ".kube files are not supported"),
        ("a.build", "[Build]\nFile=x\n", "[Build] needs `ImageTag`"),
    ] {
        let error = made(&[(name, text)]).remove(0).unwrap_err();
        assert!(error.contains(expected), "{error} has no {expected}");
    }
}

#[test]
fn values_cannot_become_other_lines() {
    let made = made(&[("a.container", "[Container]\nImage=x\nEnvironment=\"A=1\\nExecStartPre=/bin/evil\"\n")]);
    let text = &made[0].as_ref().unwrap().text;
    assert!(!text.lines().any(|line| line.starts_with("ExecStartPre")), "{text}");
}
