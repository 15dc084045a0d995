//! A server on loopback, asked by sockets.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::Sender;

use super::message::tests::question;
use super::message::{A, AAAA};
use super::*;
use crate::network::address::Cidr;
use crate::network::lease::tests::sample;

/// Serves until its sender is dropped; gives the addresses for datagrams and for connections.
fn serve(upstream: SocketAddr) -> (SocketAddr, SocketAddr, Sender<()>) {
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let streams = TcpListener::bind("127.0.0.1:0").unwrap();
    let (udp, tcp) = (datagrams.local_addr().unwrap(), streams.local_addr().unwrap());
    let (alive, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut leases = sample();
        // Who asks here is the first container.
        let front = &mut leases.attachments[0].endpoints[0];
        front.addresses.push(Cidr { address: [127, 0, 0, 1].into(), prefix: 8 });
        front.gateways.push([127, 0, 0, 1].into());
        let mut server = Server { upstream: Upstream::fixed(upstream), ..Server::default() };
        server.listen([127, 0, 0, 1].into(), datagrams, streams).unwrap();
        while ended.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
            let mut set = server.interests();
            let tick = rustix::event::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
            rustix::event::poll(&mut set, Some(&tick)).unwrap();
            let ready: Vec<bool> = set.iter().map(|one| !one.revents().is_empty()).collect();
            drop(set);
            server.turn(&ready, &leases, Instant::now());
        }
    });
    (udp, tcp, alive)
}

fn ask(server: SocketAddr, packet: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    let mut buffer = vec![0; 4096];
    // A datagram may be lost in a flood, as on any network.
    for _ in 0..4 {
        socket.send_to(packet, server).unwrap();
        if let Ok((length, _)) = socket.recv_from(&mut buffer) {
            buffer.truncate(length);
            return buffer;
        }
    }
    panic!("no answer");
}

fn ask_tcp(stream: &mut TcpStream, packet: &[u8]) -> Vec<u8> {
    stream.write_all(&u16::try_from(packet.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(packet).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    answer
}

/// Another server: answers every question with nothing, by datagram and by TCP on the same port.
fn other() -> SocketAddr {
    let streams = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = streams.local_addr().unwrap();
    let datagrams = UdpSocket::bind(address).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = datagrams.recv_from(&mut buffer) {
            let mut wrong = message::outcome(&buffer[..length], Outcome::NoName);
            wrong[0] ^= 0xff;
            datagrams.send_to(&wrong, client).unwrap();
            datagrams.send_to(&message::outcome(&buffer[..length], Outcome::Fine), client).unwrap();
        }
    });
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = streams.accept() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut packet).unwrap();
            let answer = message::outcome(&packet, Outcome::Fine);
            stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    address
}

fn outcome_of(answer: &[u8]) -> u8 {
    answer[3] & 15
}

#[test]
fn containers_are_known_and_all_else_is_asked_for() {
    let (udp, tcp, _alive) = serve(other());
    let known = ask(udp, &question("store", A));
    assert_eq!((outcome_of(&known), &known[6..8]), (0, &[0, 2][..]));
    // It has no such address, but it is there.
    assert_eq!((outcome_of(&ask(udp, &question("db", AAAA))), ask(udp, &question("db", AAAA))[7]), (0, 0));
    // Only the answer with our number is believed.
    let elsewhere = ask(udp, &question("example.org", A));
    assert_eq!((outcome_of(&elsewhere), &elsewhere[..2]), (0, &[0x12, 0x34][..]));
    let mut stream = TcpStream::connect(tcp).unwrap();
    assert_eq!(ask_tcp(&mut stream, &question("db", A))[6..8], [0, 1]);
    assert_eq!(outcome_of(&ask_tcp(&mut stream, &question("example.org", A))), 0);
    assert_eq!(ask_tcp(&mut stream, &question("app", A))[7], 3);
}

#[test]
fn a_server_that_is_silent_is_a_failure_in_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (udp, tcp, _alive) = serve(silent.local_addr().unwrap());
    let begun = Instant::now();
    assert_eq!(outcome_of(&ask(udp, &question("example.org", A))), 2);
    assert!(begun.elapsed() < Duration::from_secs(15));
    let mut stream = TcpStream::connect(tcp).unwrap();
    assert_eq!(outcome_of(&ask_tcp(&mut stream, &question("example.org", A))), 2);
}

#[test]
fn one_container_cannot_take_it_all() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (udp, tcp, _alive) = serve(silent.local_addr().unwrap());
    let flood = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..1000 {
        flood.send_to(&question("example.org", A), udp).unwrap();
        flood.send_to(&[0; 7], udp).unwrap();
    }
    let _idle: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(tcp).unwrap()).collect();
    // Still answers what it knows, and refuses what would be too much.
    assert_eq!(outcome_of(&ask(udp, &question("db", A))), 0);
    assert_eq!(outcome_of(&ask(udp, &question("example.net", A))), 2);
}
