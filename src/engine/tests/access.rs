//! Who may use the common page: what the engine keeps of it, also when the drive fails.

use super::house::House;
use crate::model::{Password, Session, Time};
use rustix::io::Errno;

fn session(id: &str) -> Session {
    Session {
        id: id.into(),
        hash: format!("hash of {id}"),
        under: "00".into(),
        label: "Firefox on Android".into(),
        from: "192.168.1.5".into(),
        since: Time(5),
        used: Time(6),
    }
}

#[test]
fn a_password_that_could_not_be_kept_is_not_in_force() {
    let mut house = House::new();
    let now = Time(7);
    let password = Password { hash: "h".into(), at: Time(4), from: "::1".into() };
    house.engine().sign_in(&session("a"), now).unwrap();
    let before = house.engine().access().unwrap();
    // The password is written, the session is not: there is one of that name.
    assert!(house.engine().claim(&password, &session("a"), now).is_err());
    assert_eq!(house.engine().access().unwrap(), before);
    // Both are written and can't be brought to the disk.
    let calls = house.memory().calls;
    house.memory().fail_from = Some((calls, Errno::IO));
    assert!(house.engine().claim(&password, &session("b"), now).is_err());
    assert!(house.engine().sign_in(&session("c"), now).is_err());
    assert!(house.engine().sign_out("a").is_err());
    house.memory().fail_from = None;
    assert_eq!(house.engine().access().unwrap(), before);
    // What could be kept outlives a power cut.
    assert!(house.engine().claim(&password, &session("b"), now).unwrap());
    let kept = house.engine().access().unwrap();
    assert_eq!((kept.password.as_ref(), kept.sessions.len()), (Some(&password), 2));
    house.open().unwrap();
    assert_eq!(house.engine().access().unwrap(), kept);
}
