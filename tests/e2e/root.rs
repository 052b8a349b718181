//! `verbatim dev` run by root: its servers run as another user, who cannot trick root into changing other files.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink},
    path::{Path, PathBuf},
};

use verbatim::dev::{self, NatsOptions, NatsUser, PostgresOptions, Servers};

use crate::world::{folder, tools};

/// The user that owns the folders and so runs the servers.
const NOBODY: u32 = 65_534;

/// A file and a folder of root, which are the targets of the links of the servers' user.
struct Precious {
    file: PathBuf,
    folder: PathBuf,
}

impl Precious {
    fn below(dir: &Path) -> Self {
        let (file, folder) = (dir.join("precious"), dir.join("precious.d"));
        fs::write(&file, "1\n").expect("a file");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("its mode");
        fs::create_dir(&folder).expect("a folder");
        Self { file, folder }
    }

    fn is_untouched(&self) {
        let found = fs::metadata(&self.file).expect("it is there");
        assert_eq!(fs::read_to_string(&self.file).expect("text"), "1\n");
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (0, 0, 0o600), "it was given away");
        let found = fs::metadata(&self.folder).expect("it is there");
        assert_eq!((found.uid(), fs::read_dir(&self.folder).expect("a folder").count()), (0, 0));
    }
}

/// A folder of the servers' user that contains links to these targets, named like our files.
fn trapped(dir: PathBuf, names: &[&str], precious: &Path) -> PathBuf {
    fs::create_dir(&dir).expect("a folder");
    for name in names {
        symlink(precious, dir.join(name)).expect("a link");
        lchown(dir.join(name), Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    chown(&dir, Some(NOBODY), Some(NOBODY)).expect("root may");
    dir
}

fn we_are_root(dir: &Path) -> bool {
    let is_root = fs::metadata(dir).expect("a folder").uid() == 0;
    if !is_root {
        println!("only root can be made to overwrite something of root's: this passes over itself");
    }
    is_root
}

#[tokio::test]
async fn links_in_the_servers_folders_lead_root_nowhere() {
    let dir = folder();
    if !we_are_root(dir.path()) {
        return;
    }
    let precious = Precious::below(dir.path());
    let ours = [
        "nats.conf",
        "nats.conf.new",
        "log.conf",
        "accounts.conf",
        "accounts.conf.new",
        "passwords.conf",
        "operator.nk",
        "operator.creds",
        "verbatim.creds",
        "verbatim.creds.new",
        "consumers.key",
        "nats.log",
        "pid",
        "passwords",
        "passwords.new",
        "password",
        "postgres.log",
        "pwfile",
        "pwfile.new",
        "data.new",
    ];
    let home = trapped(dir.path().join("nats"), &ours, &precious.file);
    let nats = dev::start_nats(tools(), &home, NatsOptions::default()).await.expect("it starts");
    nats.connect(NatsUser::Operator).await.expect("it answers");
    assert_eq!(fs::metadata(home.join("data")).expect("its data").uid(), NOBODY);
    assert_eq!(fs::metadata(&home).expect("its folder").uid(), 0, "root's alone to change");
    nats.stop().await;
    let home = trapped(dir.path().join("postgres"), &ours, &precious.file);
    let postgres = dev::start_postgres(tools(), &home, PostgresOptions::default()).await.expect("it starts");
    postgres.stop().await;
    precious.is_untouched();

    let home = trapped(dir.path().join("given"), &["data"], &precious.folder);
    let nats = dev::start_nats(tools(), &home, NatsOptions::default()).await.expect("on data of its own");
    nats.stop().await;
    precious.is_untouched();
    let home = dir.path().join("link");
    symlink(&precious.folder, &home).expect("a link");
    lchown(&home, Some(NOBODY), Some(NOBODY)).expect("root may");
    let refused = dev::start_nats(tools(), &home, NatsOptions::default()).await;
    assert!(refused.is_err_and(|why| why.to_string().contains("does not belong to root")));
    precious.is_untouched();
}

#[tokio::test]
async fn links_in_the_data_folder_lead_root_nowhere() {
    let dir = folder();
    if !we_are_root(dir.path()) {
        return;
    }
    let precious = Precious::below(dir.path());
    let data = trapped(dir.path().join("locked"), &["lock"], &precious.file);
    let refused = Servers::start(tools(), &data).await.expect_err("it is refused");
    assert!(refused.to_string().contains("lock"), "{refused}");
    let data = trapped(dir.path().join("env"), &["dev.env", "dev.env.new"], &precious.file);
    let servers = Servers::start(tools(), &data).await.expect("they start");
    assert!(!fs::symlink_metadata(data.join("dev.env")).expect("it is there").is_symlink());
    servers.stop().await;
    precious.is_untouched();
}
