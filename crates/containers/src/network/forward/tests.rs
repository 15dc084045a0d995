//! A forwarder between this network and a real one of its own.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use crate::network::namespace::{self, Owner};
use crate::network::ports::parse_publish;
use crate::network::{claim, forward, sidecar};

/// Bytes that pass each way: more than any buffer on the way.
const MUCH: usize = 8 << 20;

/// Runs `inside` in a new network, and `outside` with the ports of this one that lead there. In a process of its own, as only one
/// with one thread makes namespaces.
fn between(publish: &[&str], inside: fn(), outside: fn(&[u16])) {
    if !rustix::process::geteuid().is_root() {
        fixtures::skip("only root makes a network without a user namespace");
        return;
    }
    let child = sys::fork::child(|| {
        let made = namespace::make(Owner::Caller).unwrap();
        let wanted: Vec<_> = publish.iter().flat_map(|written| parse_publish(written).unwrap()).collect();
        let claims = claim::claim(&wanted).unwrap();
        let ports: Vec<u16> = claims.iter().map(|claim| claim.published.host.port()).collect();
        let targets: [IpAddr; 2] = [Ipv4Addr::new(127, 0, 0, 9).into(), Ipv4Addr::LOCALHOST.into()];
        let forwarder = forward::start(claims, made.fd(), &targets).unwrap();
        let namespace = made.to_fd().unwrap();
        let server = sys::fork::child(move || {
            sys::ns::join(&namespace, sys::ns::Joined::NETWORK).unwrap();
            inside();
            0
        });
        let server = server.unwrap();
        outside(&ports);
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_raw(server.pid().cast_signed()).unwrap(),
            rustix::process::Signal::KILL,
        );
        let process = forwarder.keep();
        sidecar::end(&[process]);
        u8::from(process.lives())
    });
    assert_eq!(child.unwrap().wait().unwrap(), 0);
}

/// Sends back what comes, on port 80, where the second target is.
fn echo() {
    let listener = TcpListener::bind("127.0.0.1:80").unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut copy = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut stream, &mut copy);
            let _ = copy.shutdown(Shutdown::Write);
        });
    }
}

fn connect(port: u16) -> TcpStream {
    for _ in 0..200 {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut byte = [0];
            // Before the server listens, connections are taken and broken off.
            if stream.write_all(b"?").is_ok() && stream.read_exact(&mut byte).is_ok() && byte == *b"?" {
                return stream;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("nobody answered");
}

#[test]
fn connections_pass_whole_both_ways_with_their_ends() {
    between(&["127.0.0.1::80", "127.0.0.1::81"], echo, |ports| {
        let streams: Vec<_> = (0..8).map(|_| connect(ports[0])).collect();
        let passed: Vec<_> = streams
            .into_iter()
            .map(|mut stream| {
                std::thread::spawn(move || {
                    let data: Vec<u8> = (0..MUCH).map(|at| ((at * 7) >> 3) as u8).collect();
                    let mut reader = stream.try_clone().unwrap();
                    let sent = data.clone();
                    let writer = std::thread::spawn(move || {
                        stream.write_all(&sent).unwrap();
                        stream.shutdown(Shutdown::Write).unwrap();
                    });
                    let mut got = Vec::new();
                    reader.read_to_end(&mut got).unwrap();
                    writer.join().unwrap();
                    assert!(got == data, "{} bytes of {}", got.len(), data.len());
                })
            })
            .collect();
        passed.into_iter().for_each(|thread| thread.join().unwrap());
        // Where nobody listens inside, what is taken is broken off.
        let mut stream = TcpStream::connect(("127.0.0.1", ports[1])).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    });
}

#[test]
fn datagrams_find_back_to_who_sent_them() {
    fn answer() {
        // The first target is the only one for datagrams.
        let socket = UdpSocket::bind("127.0.0.9:53").unwrap();
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            buffer[..length].reverse();
            socket.send_to(&buffer[..length], from).unwrap();
        }
    }
    between(&["127.0.0.1::53/udp"], answer, |ports| {
        let clients: Vec<_> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        for (number, client) in clients.iter().enumerate() {
            client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let words = format!("ab{number}");
            let mut buffer = [0; 16];
            let got = (0..200).find_map(|_| {
                client.send_to(words.as_bytes(), ("127.0.0.1", ports[0])).unwrap();
                client.recv(&mut buffer).ok()
            });
            assert_eq!(&buffer[..got.unwrap()], format!("{number}ba").as_bytes());
        }
    });
}
