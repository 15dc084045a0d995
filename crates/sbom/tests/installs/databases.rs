//! dpkg, rpm and apk.

use std::fs;
use std::path::Path;
use std::process::Command;

use sbom::Ecosystem;

use super::{packages, printed, rows, sorted};

/// What this machine's dpkg says of what it installed.
#[test]
fn dpkg_query_lists_the_same() {
    let format = "${db:Status-Status} ${Package} ${Version} ${Architecture}\n";
    let Some(said) = printed("dpkg-query", Command::new("dpkg-query").args(["-W", "-f", format])) else { return };
    let there = |line: &str| {
        let (state, row) = line.split_once(' ')?;
        (!matches!(state, "not-installed" | "config-files")).then(|| row.to_owned())
    };
    let said = sorted(said.lines().filter_map(there));
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("var/lib/dpkg")).unwrap();
    fs::copy("/var/lib/dpkg/status", root.path().join("var/lib/dpkg/status")).unwrap();
    let found = packages(root.path(), Ecosystem::Deb);
    let found =
        found.iter().map(|one| format!("{} {} {}", one.name, one.version, one.architecture.as_deref().unwrap_or("")));
    assert_eq!(sorted(found), said);
}

/// A file a package, as images that no dpkg ever ran in have them.
#[test]
fn packages_without_dpkg() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("var/lib/dpkg/status.d");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("base"), "Package: base-files\nVersion: 12\nArchitecture: amd64\n").unwrap();
    fs::write(folder.join("base.md5sums"), "d41d8cd98f00b204e9800998ecf8427e  etc/x\n").unwrap();
    assert_eq!(rows(&packages(root.path(), Ecosystem::Deb)), ["base-files 12"]);
}

/// Builds packages and installs them into a folder. Gives what `rpm -qa` says.
fn rpms(root: &Path) -> Option<Vec<String>> {
    let work = tempfile::tempdir().unwrap();
    let top = format!("_topdir {}", work.path().display());
    let mut files = Vec::new();
    for (name, epoch, count) in [("alpha", "", 3), ("beta", "Epoch: 2\n", 400), ("gamma", "", 0)] {
        let spec = work.path().join(format!("{name}.spec"));
        // Many files make a header that is larger than a page.
        let script = format!(
            "mkdir -p %{{buildroot}}/opt/{name}\nfor i in $(seq {count}); do echo $i > %{{buildroot}}/opt/{name}/a-file-of-a-long-name-$i; done"
        );
        let text = format!(
            "Name: {name}\nVersion: 1.{count}\nRelease: 3\n{epoch}Summary: s\nLicense: MIT\nBuildArch: noarch\n%description\nd\n%install\n{script}\n%files\n/opt/{name}\n"
        );
        fs::write(&spec, text).unwrap();
        let mut build = Command::new("rpmbuild");
        build.args(["-bb", "--define", &top]).arg(&spec);
        printed("rpmbuild", &mut build)?;
        files.push(work.path().join(format!("RPMS/noarch/{name}-1.{count}-3.noarch.rpm")));
    }
    let rpm = || {
        let mut command = Command::new("rpm");
        command.args(["--define", "_db_backend sqlite", "--define", "_dbpath /var/lib/rpm", "--root"]).arg(root);
        command
    };
    printed("rpm", rpm().args(["-i", "--nodeps", "--force-debian"]).args(&files))?;
    let format = "%{NAME} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\n";
    Some(sorted(printed("rpm", rpm().args(["-qa", "--qf", format]))?.lines().map(str::to_owned)))
}

#[test]
fn rpm_lists_the_same_of_sqlite() {
    let root = tempfile::tempdir().unwrap();
    let Some(said) = rpms(root.path()) else { return };
    assert!(root.path().join("var/lib/rpm/rpmdb.sqlite").exists());
    let found = packages(root.path(), Ecosystem::Rpm);
    assert_eq!(rows(&found), said);
    assert_eq!(found[0].licence.as_deref(), Some("MIT"));
}

/// Debian's rpm writes no database of this kind: its headers are put into one as SUSE's lays them out.
#[test]
fn rpm_lists_the_same_of_ndb() {
    let root = tempfile::tempdir().unwrap();
    let Some(said) = rpms(root.path()) else { return };
    let other = tempfile::tempdir().unwrap();
    let folder = other.path().join("usr/lib/sysimage/rpm");
    fs::create_dir_all(&folder).unwrap();
    let script = "import sqlite3,struct,sys\nblobs=list(sqlite3.connect(sys.argv[1]).execute('select hnum,blob from Packages'))\nslots=[(0,0,0)]*254\ndata=b''\nfor i,(n,b) in enumerate(blobs):\n  body=struct.pack('<4sIII',b'BlbS',n,0,len(b))+b+bytes(12)\n  body+=bytes(-len(body)%16)\n  slots[2*i]=(n,(4096+len(data))//16,len(body)//16)\n  data+=body\nhead=struct.pack('<4sIIII12x',b'RpmP',0,1,1,99)\nopen(sys.argv[2],'wb').write(head+b''.join(struct.pack('<4sIII',b'Slot',*s) for s in slots)+data)";
    let mut write = Command::new("python3");
    write.args(["-c", script]).arg(root.path().join("var/lib/rpm/rpmdb.sqlite")).arg(folder.join("Packages.db"));
    if printed("python3", &mut write).is_some() {
        assert_eq!(rows(&packages(other.path(), Ecosystem::Rpm)), said);
    }
}

/// No rpm writes Berkeley DB any more: its own tool makes the file of another database's headers.
#[test]
fn rpm_lists_the_same_of_berkeley_db() {
    let root = tempfile::tempdir().unwrap();
    let Some(said) = rpms(root.path()) else { return };
    let database = root.path().join("var/lib/rpm/rpmdb.sqlite");
    let script = "import sqlite3,sys\nprint('VERSION=3\\nformat=bytevalue\\ntype=hash\\ndb_pagesize=4096\\nHEADER=END')\nprint(' 00000000\\n 00000009')\nfor n,b in sqlite3.connect(sys.argv[1]).execute('select hnum,blob from Packages'): print(' '+n.to_bytes(4,'little').hex()+'\\n '+b.hex())\nprint('DATA=END')";
    let Some(dump) = printed("python3", Command::new("python3").args(["-c", script]).arg(&database)) else { return };
    let text = root.path().join("dump");
    fs::write(&text, dump).unwrap();
    let other = tempfile::tempdir().unwrap();
    let folder = other.path().join("var/lib/rpm");
    fs::create_dir_all(&folder).unwrap();
    let mut load = Command::new("db5.3_load");
    load.arg("-f").arg(&text).arg(folder.join("Packages"));
    if printed("db5.3_load", &mut load).is_none() {
        return;
    }
    assert_eq!(rows(&packages(other.path(), Ecosystem::Rpm)), said);
}

#[test]
fn apk_lists_the_same() {
    let root = Path::new("/lib/apk/db/installed");
    if !root.exists() {
        return fixtures::skip("apk: this machine is not Alpine's");
    }
    let Some(said) = printed("apk", Command::new("apk").args(["list", "--installed", "--manifest"])) else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("lib/apk/db")).unwrap();
    fs::copy(root, folder.path().join("lib/apk/db/installed")).unwrap();
    assert_eq!(rows(&packages(folder.path(), Ecosystem::Apk)), sorted(said.lines().map(str::to_owned)));
}
