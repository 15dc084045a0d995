use std::sync::mpsc;
use std::thread;

use super::*;

/// Notify for one call number, allow the rest.
fn notify_for(call: libc::c_long) -> [Instruction; 4] {
    let statement = |code: u32, operand| Instruction { code: code as u16, if_true: 0, if_false: 0, operand };
    [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        Instruction {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            if_true: 0,
            if_false: 1,
            operand: call as u32,
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ]
}

#[test]
fn a_call_is_answered_by_another_thread() {
    let (send, receive) = mpsc::channel();
    let caller = thread::spawn(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        send.send(install(&notify_for(libc::SYS_sethostname)).unwrap()).unwrap();
        drop(send);
        let name = "a-name";
        let call = |length: usize| unsafe { libc::syscall(libc::SYS_sethostname, name.as_ptr(), length) };
        let answered = call(name.len());
        let refused = call(0);
        let errno = std::io::Error::last_os_error().raw_os_error();
        (answered, refused, errno)
    });
    let listener = Listener::new(receive.recv().unwrap());
    let first = listener.receive().unwrap().unwrap();
    assert_eq!(i64::from(first.call), libc::SYS_sethostname);
    let mut name = [0; 6];
    read_memory(first.pid, first.arguments[0], &mut name).unwrap();
    assert!(listener.is_valid(first.id));
    assert_eq!(&name, b"a-name");
    listener.answer(first.id, Answer::Value(42)).unwrap();
    let second = listener.receive().unwrap().unwrap();
    listener.answer(second.id, Answer::Error(Errno::ROFS)).unwrap();
    assert!(!listener.is_valid(first.id));
    assert_eq!(caller.join().unwrap(), (42, -1, Some(libc::EROFS)));
    assert!(listener.receive().unwrap().is_none());
}

#[test]
fn strings_end_where_they_end() {
    let text = CString::new("x".repeat(10_000)).unwrap();
    let address = text.as_ptr() as u64;
    let own = std::process::id();
    assert_eq!(read_c_string(own, address, 20_000).unwrap(), text);
    assert_eq!(read_c_string(own, address, 100).unwrap_err().errno(), Errno::NAMETOOLONG);
    assert_eq!(read_c_string(own, 8, 100).unwrap_err().errno(), Errno::FAULT);
    let mut target = [0_u8; 4];
    write_memory(own, (&raw mut target) as u64, b"1234").unwrap();
    assert_eq!(&target, b"1234");
}
