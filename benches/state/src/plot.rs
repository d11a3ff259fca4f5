//! The times over the numbers of keys, a panel for each work.

use crate::chart::{Axis, Chart, Panel, Series};
use crate::measure::{Figure, Measured};
use crate::{Map, Options, Work, name};

pub fn chart(figures: &[Figure], options: &Options) -> Chart {
    let panels = options.works.iter().filter(|work| !work.is_of_whole() && **work != Work::Memory);
    let title = format!(
        "keys of {} bytes, values of {}: nanoseconds for each operation, one thread",
        options.key_bytes, options.value_bytes
    );
    Chart { title, panels: panels.map(|work| panel(*work, figures, options)).collect() }
}

fn panel(work: Work, figures: &[Figure], options: &Options) -> Panel {
    let label = match work {
        Work::Get => "get: nanoseconds",
        Work::Overwrite => "overwrite: nanoseconds",
        Work::Insert => "insert in random order: nanoseconds",
        Work::Append => "insert in ascending order: nanoseconds",
        Work::Remove => "remove: nanoseconds",
        Work::Scan => "scan, each entry: nanoseconds",
        Work::Snapshots => "overwrite, snapshots held: nanoseconds",
        Work::InsertSnapshots => "insert, snapshots held: nanoseconds",
        _ => "overwrite, every 100th with a root: nanoseconds",
    };
    let series = options.maps.iter().enumerate();
    let series = series.map(|(colour, map)| line(*map, colour, figures.iter().filter(|figure| figure.work == work)));
    Panel { x: Axis::logarithmic("keys"), y: Axis::logarithmic(label), series: series.collect() }
}

fn line<'a>(map: Map, colour: usize, figures: impl Iterator<Item = &'a Figure>) -> Series {
    let points = figures.filter(|figure| figure.map == map).map(|figure| match figure.measured {
        Measured::Time(nanoseconds, _) => (figure.keys as f64, Some(nanoseconds)),
        Measured::Memory(_) => (figure.keys as f64, None),
    });
    let name = match map {
        Map::State => "viewstamped-state".to_owned(),
        Map::Plain => "BTreeMap<Vec, Vec>".to_owned(),
        Map::Btree => "BTreeMap<Bytes, Bytes>".to_owned(),
        Map::Imbl => format!("{} OrdMap", name(map)),
    };
    let points: Vec<(f64, Option<f64>)> = points.collect();
    let labels = points.iter().map(|(_, value)| value.map_or_else(String::new, |value| format!("{value:.0}")));
    Series { name, colour, is_dashed: false, labels: labels.collect(), points }
}
