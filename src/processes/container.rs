//! Which container a process is in, from the paths of its control groups.
//!
//! The forms are those that the engines and the kubelet write, for cgroup v1 and v2, with the systemd and the cgroupfs
//! driver: runc libcontainer/cgroups ("SCOPEPREFIX-ID.scope", "/PARENT/ID"), kubernetes pkg/kubelet/cm
//! (kubepods[-CLASS]-podUID.slice with `_` for `-`; kubepods/CLASS/podUID), podman ("libpod-ID.scope"; "libpod-conmon-"
//! is its monitor, which is outside).

use super::process::{Container, Engine};

/// Shortest and longest id that counts as a container's. Engines write 64 digits; 32 are a systemd invocation or a pod.
const ID_DIGITS: std::ops::RangeInclusive<usize> = 12..=64;

/// Prefixes of systemd scopes. Longer ones first where one begins with another.
const SCOPES: &[(&str, Engine)] = &[
    ("docker-", Engine::Docker),
    ("cri-containerd-", Engine::Containerd),
    ("nerdctl-", Engine::Containerd),
    ("crio-", Engine::CriO),
    ("libpod-", Engine::Podman),
];

/// Parents under which the cgroupfs driver makes a folder named by the id.
const PARENTS: &[(&str, Engine)] =
    &[("docker", Engine::Docker), ("libpod_parent", Engine::Podman), ("default", Engine::Containerd)];

/// The container that one of the paths names. The innermost wins: a container in a container is named by its own id.
pub(super) fn of_paths<'a>(paths: impl IntoIterator<Item = &'a str>) -> Option<Container> {
    let mut best: Option<(usize, Container)> = None;
    for path in paths {
        if let Some((depth, container)) = of_path(path)
            && best.as_ref().is_none_or(|(deepest, _)| depth > *deepest)
        {
            best = Some((depth, container));
        }
    }
    best.map(|(_, container)| container)
}

fn of_path(path: &str) -> Option<(usize, Container)> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut pod = None;
    let mut found = None;
    for (depth, part) in parts.iter().enumerate() {
        if let Some(uid) = pod_uid(part) {
            pod = Some(uid);
        }
        let parent = depth.checked_sub(1).and_then(|above| parts.get(above)).copied();
        if let Some((engine, id)) = container(part, parent, pod.is_some()) {
            found = Some((depth, engine, id.to_owned()));
        }
    }
    let (depth, engine, id) = found?;
    Some((depth, Container { engine, id, pod_uid: pod }))
}

fn container<'a>(part: &'a str, parent: Option<&str>, in_pod: bool) -> Option<(Engine, &'a str)> {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    if let Some((engine, id)) = SCOPES
        .iter()
        .find_map(|(prefix, engine)| Some((*engine, name.strip_prefix(prefix)?)))
        .filter(|(_, id)| is_id(id))
    {
        return Some((engine, id));
    }
    // containerd with the systemd cgroup path in cgroupfs form: "kubepods-…-podUID.slice:cri-containerd:ID".
    let mut fields = part.rsplitn(3, ':');
    if let (Some(id), Some(engine), Some(_)) = (fields.next(), fields.next(), fields.next())
        && is_id(id)
    {
        let scope = format!("{engine}-");
        let known = SCOPES.iter().find(|(prefix, _)| *prefix == scope).map(|(_, engine)| *engine);
        return Some((known.unwrap_or(Engine::Unknown), id));
    }
    if !is_id(part) {
        return None;
    }
    let engine = PARENTS.iter().find(|(folder, _)| Some(*folder) == parent).map(|(_, engine)| *engine);
    match engine {
        Some(engine) => Some((engine, part)),
        None if in_pod => Some((Engine::Unknown, part)),
        None => None,
    }
}

fn is_id(text: &str) -> bool {
    ID_DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// `pod1234abcd-…` or `kubepods-burstable-pod1234abcd_….slice`: the pod's uid with dashes.
fn pod_uid(part: &str) -> Option<String> {
    let name = part.split(':').next().unwrap_or(part);
    let name = name.strip_suffix(".slice").unwrap_or(name);
    let uid = match name.strip_prefix("kubepods") {
        Some(rest) => rest.rsplit_once("-pod")?.1,
        None => name.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    let plain = uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    // A static pod's uid is the 32 digits of a hash, without dashes.
    (plain && (uid.len() == 36 || uid.len() == 32)).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1c9d0b5a7e4f2d8c6b1a09e8d7c6b5a4f3e2d1c0b9a8f7e6d5c4b3a2f1e0d9";

    fn engine_of(path: &str) -> Option<(Engine, Option<String>)> {
        let container = of_paths([path])?;
        assert_eq!(container.id, ID, "{path}");
        Some((container.engine, container.pod_uid))
    }

    #[test]
    fn each_engine_is_told_by_its_path() {
        for (path, engine) in [
            (format!("/docker/{ID}"), Engine::Docker),
            (format!("/system.slice/docker-{ID}.scope"), Engine::Docker),
            (format!("/system.slice/docker-{ID}.scope/init"), Engine::Docker),
            (format!("/default/{ID}"), Engine::Containerd),
            (format!("/system.slice/nerdctl-{ID}.scope"), Engine::Containerd),
            (format!("/machine.slice/libpod-{ID}.scope/container"), Engine::Podman),
            (format!("/libpod_parent/libpod-{ID}"), Engine::Podman),
        ] {
            assert_eq!(engine_of(&path), Some((engine, None)), "{path}");
        }
    }

    #[test]
    fn a_pods_uid_is_read_in_both_spellings() {
        let uid = "0f6c2a4e-91b3-4d57-8a2f-6e1d3c5b7a90";
        let slice = uid.replace('-', "_");
        for (path, engine) in [
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{slice}.slice/cri-containerd-{ID}.scope"
                ),
                Engine::Containerd,
            ),
            (format!("/kubepods.slice/kubepods-pod{slice}.slice/crio-{ID}.scope"), Engine::CriO),
            (format!("/kubepods/besteffort/pod{uid}/{ID}"), Engine::Unknown),
            (
                format!("/system.slice/containerd.service/kubepods-burstable-pod{slice}.slice:cri-containerd:{ID}"),
                Engine::Containerd,
            ),
            (
                format!("/kubelet.slice/kubelet-kubepods.slice/kubepods-besteffort-pod{slice}.slice/docker-{ID}.scope"),
                Engine::Docker,
            ),
        ] {
            assert_eq!(engine_of(&path), Some((engine, Some(uid.to_owned()))), "{path}");
        }
    }

    #[test]
    fn the_innermost_container_wins() {
        let outer = ID.replace('3', "4");
        assert_eq!(engine_of(&format!("/docker/{outer}/docker/{ID}")), Some((Engine::Docker, None)));
        let shallow = format!("/docker/{outer}");
        let deep = format!("/system.slice/x/docker-{ID}.scope");
        assert_eq!(of_paths([shallow.as_str(), deep.as_str()]).map(|container| container.id), Some(ID.to_owned()));
    }

    #[test]
    fn what_is_no_container_is_none() {
        for path in [
            "/",
            "/user.slice/user-1000.slice/session-3.scope",
            "/system.slice/docker.service",
            "/../..",
            "/machine.slice/libpod-conmon-3f1c.scope",
            "/process_api/a9c39c27fd3a59c1526e46fd80e261b9",
        ] {
            assert_eq!(of_paths([path]), None, "{path}");
        }
        assert_eq!(of_paths([format!("/machine.slice/libpod-conmon-{ID}.scope").as_str()]), None);
        assert_eq!(of_paths([format!("/x/crio-conmon-{ID}.scope").as_str()]), None);
    }
}
