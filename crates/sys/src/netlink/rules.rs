//! Packet rules of one bridge, by nf_tables (linux/netfilter/nf_tables.h): a table of its own, so that it is replaced as a whole
//! and goes as a whole, and nobody else's rules are touched.

use std::net::IpAddr;

use rustix::io::Errno;

use super::Socket;
use super::message::{CREATE, Message};
use crate::Result;

const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;

/// Rules for both kinds of addresses.
const INET: u8 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const HOOK_FORWARD: u32 = 2;
const HOOK_POSTROUTING: u32 = 4;
const PRIORITY_FILTER: u32 = 0;
const PRIORITY_SOURCE_NAT: u32 = 100;
const APPEND: u16 = 0x800;

const REGISTER: u32 = 1;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const META_IN_NAME: u32 = 6;
const META_OUT_NAME: u32 = 7;
const META_PROTOCOL: u32 = 15;
const META_IN_KIND: u32 = 26;
const META_OUT_KIND: u32 = 27;
const CT_STATE: u32 = 0;
/// Of a connection that was let through, or belongs to one; in the machine's order.
const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
const ACCEPT: u32 = 1;
const DROP: u32 = 0;

/// A kind of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The rules of one bridge.
#[derive(Debug, Clone)]
pub struct Table<'t> {
    /// The table's name.
    pub name: &'t str,
    /// The bridge.
    pub bridge: &'t str,
    /// Its networks, whose packets leave with an address of ours.
    pub subnets: &'t [(IpAddr, u8)],
    /// Whether nothing leaves and nothing comes in.
    pub internal: bool,
    /// Whether packets leave with an address of ours.
    pub masquerade: bool,
}

/// One rule, as its expressions.
#[derive(Debug, Default)]
pub struct Rules(Vec<(&'static str, Vec<Expression>)>);

/// A name and what fills its attributes.
#[derive(Debug)]
struct Expression {
    name: &'static str,
    data: Vec<Datum>,
}

#[derive(Debug)]
enum Datum {
    Number(u16, u32),
    /// Bytes to compare with, or a mask.
    Value(u16, Vec<u8>),
    Verdict(u16, u32),
}

impl Table<'_> {
    /// What the bridge's rules are: whoever is outside may answer, never begin; who is inside may begin, unless the network is internal.
    fn rules(&self) -> Rules {
        let (from, to) = (interface(META_IN_NAME, EQUAL, self.bridge), interface(META_OUT_NAME, EQUAL, self.bridge));
        let mut rules = Rules::default();
        rules.add("forward", [from(), to(), vec![verdict(ACCEPT)]]);
        if self.internal {
            rules.add("forward", [from(), vec![verdict(DROP)]]);
        } else {
            rules.add("forward", [to(), answers(), vec![verdict(ACCEPT)]]);
        }
        rules.add("forward", [to(), vec![verdict(DROP)]]);
        if self.masquerade && !self.internal {
            let elsewhere = interface(META_OUT_NAME, NOT_EQUAL, self.bridge);
            for (address, prefix) in self.subnets {
                let leave = vec![Expression { name: "masq", data: Vec::new() }];
                rules.add("postrouting", [source(*address, *prefix), elsewhere(), leave]);
            }
        }
        rules
    }
}

impl Rules {
    fn add<const N: usize>(&mut self, chain: &'static str, parts: [Vec<Expression>; N]) {
        self.0.push((chain, parts.into_iter().flatten().collect()));
    }
}

impl Socket {
    /// Sets a table's rules, all at once, in place of those that it had.
    pub fn set_table(&mut self, table: &Table<'_>) -> Result<()> {
        let named = |kind, flags| Message::new(kind, flags, &header(INET, 0)).text(1, table.name);
        let mut messages = vec![
            Message::new(BATCH_BEGIN, 0, &header(0, SUBSYSTEM >> 8)),
            // Made, so that there is one to remove; removed with its rules; made anew.
            named(NEW_TABLE, CREATE),
            named(DELETE_TABLE, 0),
            named(NEW_TABLE, CREATE),
            chain(INET, table.name, "forward", "filter", HOOK_FORWARD, PRIORITY_FILTER),
        ];
        if table.masquerade && !table.internal {
            messages.push(chain(INET, table.name, "postrouting", "nat", HOOK_POSTROUTING, PRIORITY_SOURCE_NAT));
        }
        messages.extend(table.rules().0.iter().map(|(chain, expressions)| rule(INET, table.name, chain, expressions)));
        messages.push(Message::new(BATCH_END, 0, &header(0, SUBSYSTEM >> 8)));
        self.batch(messages, "set nf_tables rules", table.name)
    }

    /// Sets a table by which nothing is forwarded that neither comes from a bridge nor goes to one, whoever's that is, in place of what
    /// it was.
    pub fn set_guard(&mut self, name: &str, family: Family) -> Result<()> {
        let family = match family {
            Family::V4 => IPV4,
            Family::V6 => IPV6,
        };
        let named = |kind, flags| Message::new(kind, flags, &header(family, 0)).text(1, name);
        let (from, to) = (interface(META_IN_KIND, EQUAL, "bridge"), interface(META_OUT_KIND, EQUAL, "bridge"));
        let mut rules = Rules::default();
        rules.add("forward", [from(), vec![verdict(ACCEPT)]]);
        rules.add("forward", [to(), vec![verdict(ACCEPT)]]);
        rules.add("forward", [vec![verdict(DROP)]]);
        let mut messages = vec![
            Message::new(BATCH_BEGIN, 0, &header(0, SUBSYSTEM >> 8)),
            named(NEW_TABLE, CREATE),
            named(DELETE_TABLE, 0),
            named(NEW_TABLE, CREATE),
            chain(family, name, "forward", "filter", HOOK_FORWARD, PRIORITY_FILTER),
        ];
        messages.extend(rules.0.iter().map(|(chain, expressions)| rule(family, name, chain, expressions)));
        messages.push(Message::new(BATCH_END, 0, &header(0, SUBSYSTEM >> 8)));
        self.batch(messages, "set nf_tables rules", name)
    }

    /// Removes a table. One that is not there is not an error.
    pub fn remove_table(&mut self, name: &str) -> Result<()> {
        let messages = vec![
            Message::new(BATCH_BEGIN, 0, &header(0, SUBSYSTEM >> 8)),
            Message::new(DELETE_TABLE, 0, &header(INET, 0)).text(1, name),
            Message::new(BATCH_END, 0, &header(0, SUBSYSTEM >> 8)),
        ];
        match self.batch(messages, "remove nf_tables rules", name) {
            Err(error) if error.errno() == Errno::NOENT => Ok(()),
            other => other,
        }
    }
}

/// `struct nfgenmsg`.
fn header(family: u8, resource: u16) -> Vec<u8> {
    let mut bytes = vec![family, 0];
    bytes.extend_from_slice(&resource.to_be_bytes());
    bytes
}

fn chain(family: u8, table: &str, name: &str, kind: &str, hook: u32, priority: u32) -> Message {
    Message::new(NEW_CHAIN, CREATE, &header(family, 0))
        .text(1, table)
        .text(3, name)
        .nest(4, |inner| inner.big(1, hook).big(2, priority))
        .big(5, ACCEPT)
        .text(7, kind)
}

fn rule(family: u8, table: &str, chain: &str, expressions: &[Expression]) -> Message {
    let list = |mut list: Message| {
        for expression in expressions {
            list =
                list.nest(1, |element| element.text(1, expression.name).nest(2, |data| fill(data, &expression.data)));
        }
        list
    };
    Message::new(NEW_RULE, CREATE | APPEND, &header(family, 0)).text(1, table).text(2, chain).nest(4, list)
}

fn fill(mut message: Message, data: &[Datum]) -> Message {
    for datum in data {
        message = match datum {
            Datum::Number(kind, value) => message.big(*kind, *value),
            Datum::Value(kind, bytes) => message.nest(*kind, |inner| inner.attribute(1, bytes)),
            Datum::Verdict(kind, code) => message.nest(*kind, |inner| inner.nest(2, |verdict| verdict.big(1, *code))),
        };
    }
    message
}

fn verdict(code: u32) -> Expression {
    Expression { name: "immediate", data: vec![Datum::Number(1, 0), Datum::Verdict(2, code)] }
}

fn load(key: u32) -> Expression {
    Expression { name: "meta", data: vec![Datum::Number(2, key), Datum::Number(1, REGISTER)] }
}

fn compare(operation: u32, value: Vec<u8>) -> Expression {
    let data = vec![Datum::Number(1, REGISTER), Datum::Number(2, operation), Datum::Value(3, value)];
    Expression { name: "cmp", data }
}

fn mask(mask: Vec<u8>) -> Expression {
    let length = u32::try_from(mask.len()).unwrap_or_default();
    let nothing = vec![0; mask.len()];
    let data = vec![
        Datum::Number(1, REGISTER),
        Datum::Number(2, REGISTER),
        Datum::Number(3, length),
        Datum::Value(4, mask),
        Datum::Value(5, nothing),
    ];
    Expression { name: "bitwise", data }
}

/// Compares the name of an interface, or that of its kind: all 16 bytes of it.
fn interface(key: u32, operation: u32, name: &str) -> impl Fn() -> Vec<Expression> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(super::link::NAME_LIMIT + 1, 0);
    move || vec![load(key), compare(operation, bytes.clone())]
}

fn answers() -> Vec<Expression> {
    let state = Expression { name: "ct", data: vec![Datum::Number(2, CT_STATE), Datum::Number(1, REGISTER)] };
    vec![state, mask(ESTABLISHED_OR_RELATED.to_ne_bytes().to_vec()), compare(NOT_EQUAL, vec![0; 4])]
}

/// Compares the address that a packet comes from with a network.
fn source(address: IpAddr, prefix: u8) -> Vec<Expression> {
    let (protocol, offset, octets) = match address {
        IpAddr::V4(v4) => (2, 12, v4.octets().to_vec()),
        IpAddr::V6(v6) => (10, 8, v6.octets().to_vec()),
    };
    let length = u32::try_from(octets.len()).unwrap_or_default();
    let payload = Expression {
        name: "payload",
        data: vec![Datum::Number(1, REGISTER), Datum::Number(2, 1), Datum::Number(3, offset), Datum::Number(4, length)],
    };
    let bits: Vec<u8> = (0..octets.len()).map(|at| ones(usize::from(prefix).saturating_sub(at * 8))).collect();
    let network: Vec<u8> = octets.iter().zip(&bits).map(|(octet, bits)| octet & bits).collect();
    vec![load(META_PROTOCOL), compare(EQUAL, vec![protocol]), payload, mask(bits), compare(EQUAL, network)]
}

/// A byte whose first bits are set.
fn ones(count: usize) -> u8 {
    if count >= 8 { u8::MAX } else { !(u8::MAX >> count) }
}
