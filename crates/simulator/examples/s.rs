#![allow(missing_docs, clippy::disallowed_types, clippy::disallowed_methods)]
use viewstamped_simulator::search::*;
fn main() {
    let mut b = Bounds::DEFAULT;
    let mut secs = 60.0;
    for a in std::env::args().skip(1) {
        let (k, v) = a.split_once('=').unwrap();
        let n: u64 = v.parse().unwrap();
        match k {
            "n" => b.replicas = n as usize,
            "a" => b.operations = n as u32,
            "v" => b.view_max = n,
            "c" => b.crashes = n as u32,
            "cper" => b.crashes_each = n as u32,
            "down" => b.down_max = n as usize,
            "k" => b.heartbeats = n != 0,
            "votes" => b.votes = n != 0,
            "wiped" => b.wiped = n != 0,
            "retries" => b.retries = n as u32,
            "width" => b.width = Some(n as usize),
            "every" => b.every_order = n != 0,
            "seed" => b.seed = n,
            "secs" => secs = n as f64,
            "levels" => b.levels_max = n as u32,
            _ => panic!("{k}"),
        }
    }
    std::panic::set_hook(Box::new(|_| {}));
    let t = std::time::Instant::now();
    let f = search(&b, &mut |p| {
        if p.frontier > 0 {
            eprintln!("{:.1} {:?}", t.elapsed().as_secs_f64(), p);
        }
        t.elapsed().as_secs_f64() < secs
    });
    println!(
        "{:.1}s {} {:?}",
        t.elapsed().as_secs_f64(),
        match &f.verdict {
            Verdict::Violated(c) => format!("VIOLATED {} {}", c.transcript.len(), c.violation),
            v => format!("{v:?}"),
        },
        f.progress
    );
    if let Verdict::Violated(c) = f.verdict {
        for l in c.transcript {
            println!("  {l}");
        }
    }
}
