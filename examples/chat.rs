//! A chat without a server: each person is a node, the room is a process group, and who is lost has left.
//!
//! ```sh
//! cargo run --example chat                            # three people in one program
//! cargo run --example chat -- as ann                  # or one in each, and you type; it says its address
//! cargo run --example chat -- as bob 127.0.0.1:40404  # with the address of anybody who is there
//! ```

use incarnate::node::{Cookie, Distribution};
use incarnate::pg::{Event, Group, Scope};
use incarnate::{Info, Never, Node, Process, ProcessRef};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;
const ROOM: Group<Never, Never, String> = Group::new("room");

/// Somebody comes: a node, with a process in the room that prints what it hears.
async fn enter(name: &str, others: &[&str]) -> Fallible<(Distribution, Scope)> {
    let (node, me) = (Node::new(name), name.to_owned());
    let ears: ProcessRef<String> = node.spawn(move |mut ears: Process<String>| async move {
        while let Info::User(line) = ears.receive().await {
            println!("{me:>8} | {line}");
        }
    });
    let (chat, people) = (Scope::of(&node, "chat"), Scope::of(&node, "people"));
    chat.start().await?;
    people.start().await?;
    // In this scope each is alone in a group of the own name, so that all know who comes and goes.
    let news = |event| if event == Event::Join { "has come" } else { "is gone" };
    people.monitor_scope(&ears, move |change| format!("* {} {}", change.group, news(change.event))).await?;
    people.join(&Group::named(name), &ears).await?;
    chat.join(&ROOM, &ears).await?;
    let start = Distribution::of(&node, Cookie::new("among friends, you know"));
    let on = start.listen("127.0.0.1:0").seeds(others.iter().copied()).start().await?;
    Ok((on, chat))
}

fn say(chat: &Scope, line: &str) {
    chat.members(&ROOM).iter().for_each(|member| member.send(line.to_owned()));
}

async fn until_there_are(people: usize, chat: &Scope) {
    while chat.members(&ROOM).len() != people {
        tokio::task::yield_now().await;
    }
}

/// Runs the example.
#[tokio::main]
pub async fn main() -> Fallible<()> {
    let args: Vec<String> = std::env::args().collect();
    if let [_, "as", name, others @ ..] = &*args.iter().map(String::as_str).collect::<Vec<_>>() {
        let (on, chat) = enter(name, others).await?;
        println!("hello {name}, others find you by: -- as NAME {}", on.address().unwrap_or_default());
        for line in std::io::stdin().lines() {
            say(&chat, &format!("{name}: {}", line?));
        }
        return Ok(());
    }
    let (on_ann, ann) = enter("ann", &[]).await?;
    let door = on_ann.address().unwrap_or_default();
    let (on_bob, bob) = enter("bob", &[door]).await?;
    let (_on_eve, eve) = enter("eve", &[door]).await?;
    for chat in [&ann, &bob, &eve] {
        until_there_are(3, chat).await;
    }
    say(&ann, "ann: hello, you two");
    on_bob.stop().await;
    println!("         bob has fallen off the net");
    for (people, chat) in [(2, &ann), (1, &bob), (2, &eve)] {
        until_there_are(people, chat).await;
    }
    say(&eve, "eve: where is bob?");
    say(&bob, "bob: why does nobody answer?");
    // Each goes home, when all is heard.
    for member in eve.members(&ROOM).iter().chain(&bob.members(&ROOM)) {
        let _lost = member.stop().await;
    }
    Ok(())
}
