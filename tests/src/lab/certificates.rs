//! The lab's own certificates, by openssl: an authority that lives as long as the lab, one certificate for each host, as libvirt and
//! QEMU want them named, and one for whoever calls from outside.
//!
//! Nobody else's keys or authorities are read, and nothing of these is trusted outside the lab.

use super::command::run;
use super::error::LabError;
use super::files::{make_folder, text, write};
use super::layout::{CALLER, Host, Layout};
use futures::future::try_join_all;
use std::fs;
use std::path::Path;

/// How long they count, in days: no lab stands longer.
const DAYS: &str = "30";
/// A new key and its certificate in one go.
const REQUEST: [&str; 9] =
    ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-batch"];
/// What the authority may do, and what those it signs for.
const AUTHORITY: &str = "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n";
const PEER: &str = "basicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature, keyEncipherment\n\
                    extendedKeyUsage = serverAuth, clientAuth\n";
/// What a certificate, its key and the authority are called: by libvirt as server and as client, and by QEMU.
const NAMES: [(&str, &str, &str); 4] = [
    ("servercert.pem", "serverkey.pem", "cacert.pem"),
    ("clientcert.pem", "clientkey.pem", "cacert.pem"),
    ("server-cert.pem", "server-key.pem", "ca-cert.pem"),
    ("client-cert.pem", "client-key.pem", "ca-cert.pem"),
];

/// Makes them all.
pub(super) async fn make(layout: &Layout, hosts: &[Host]) -> Result<(), LabError> {
    let folder = layout.certificates();
    make_folder(&folder)?;
    sign(&folder, "authority", "a lab", None, AUTHORITY).await?;
    let of_host = |host: &Host| {
        // From outside a host is reached by a door at this machine's loopback.
        let names = format!("subjectAltName = DNS:{}, IP:{}, IP:127.0.0.1\n", host.name, host.address);
        (host.name.clone(), PEER.to_owned() + &names)
    };
    let caller = (CALLER.to_owned(), PEER.to_owned());
    let all: Vec<(String, String)> = hosts.iter().map(of_host).chain([caller]).collect();
    try_join_all(all.iter().map(|(name, extensions)| furnish(&folder, name, extensions))).await.map(|_| ())
}

/// Makes one, in a folder of its own under all its names.
async fn furnish(folder: &Path, name: &str, extensions: &str) -> Result<(), LabError> {
    let of_its_own = folder.join(name);
    make_folder(&of_its_own)?;
    sign(folder, name, name, Some("authority"), extensions).await?;
    for (certificate, key, authority) in NAMES {
        for (from, to) in [(format!("{name}.pem"), certificate), (format!("{name}.key"), key)] {
            copy(&folder.join(from), &of_its_own.join(to))?;
        }
        copy(&folder.join("authority.pem"), &of_its_own.join(authority))?;
    }
    Ok(())
}

async fn sign(
    folder: &Path,
    file: &str,
    subject: &str,
    signer: Option<&str>,
    extensions: &str,
) -> Result<(), LabError> {
    let at = |name: String| folder.join(name);
    let (certificate, key, configuration) =
        (at(format!("{file}.pem")), at(format!("{file}.key")), at(format!("{file}.cnf")));
    write(&configuration, format!("[req]\ndistinguished_name = name\n[name]\n[extensions]\n{extensions}"))?;
    let subject = format!("/CN={subject}");
    let rest = ["-days", DAYS, "-subj", &subject, "-config", text(&configuration), "-extensions", "extensions"];
    let mut command = REQUEST.to_vec();
    command.extend(rest);
    command.extend(["-keyout", text(&key), "-out", text(&certificate)]);
    let signed_by = signer.map(|signer| (at(format!("{signer}.pem")), at(format!("{signer}.key"))));
    if let Some((certificate, key)) = &signed_by {
        command.extend(["-CA", text(certificate), "-CAkey", text(key)]);
    }
    run(&command).await.map(|_| ())
}

fn copy(from: &Path, to: &Path) -> Result<(), LabError> {
    fs::copy(from, to).map(|_| ()).map_err(|source| LabError::File { path: to.into(), action: "written", source })
}
