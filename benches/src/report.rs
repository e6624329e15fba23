//! The table and the JSON.

use std::{fmt::Write as _, fs::File, io::Write as _, path::Path};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{runner::Measurement, systems::Name, workload::Workload};

/// One workload on one system: the median of its rounds and what is around it.
#[derive(Clone, Debug)]
pub struct Row {
    workload: Workload,
    system: Name,
    rounds: usize,
    median: f64,
    min: f64,
    max: f64,
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
    ratio_to_ractor: Option<f64>,
    ratio_to_tokio: Option<f64>,
    ratio_to_erlang: Option<f64>,
    ratio_to_base: Option<f64>,
}

impl Row {
    /// The rows of workloads that were measured in turn, one for each system that has measurements, with the ratios between
    /// them.
    pub fn all(taken: &[(Workload, Name, Vec<Measurement>)]) -> Vec<Row> {
        let mut rows: Vec<Row> = taken
            .iter()
            .filter_map(|(workload, system, taken)| Row::new(*workload, *system, taken))
            .collect();
        let medians: Vec<_> = rows.iter().map(|row| (row.workload, row.system, row.median)).collect();
        for row in &mut rows {
            let ratio = |workload, system| {
                let base = medians.iter().find(|median| (median.0, median.1) == (workload, system));
                base.map(|base| row.median / base.2)
            };
            let to = |system| ratio(row.workload, system);
            let ratios = [to(Name::Ractor), to(Name::Tokio), to(Name::Erlang)];
            row.ratio_to_base = row.workload.base().and_then(|base| ratio(base, row.system));
            [row.ratio_to_ractor, row.ratio_to_tokio, row.ratio_to_erlang] = ratios;
        }
        rows
    }

    fn new(workload: Workload, system: Name, taken: &[Measurement]) -> Option<Row> {
        let mut figures: Vec<f64> = taken.iter().map(|taken| taken.figure).collect();
        figures.sort_by(f64::total_cmp);
        Some(Row {
            workload,
            system,
            rounds: taken.len(),
            median: median(&figures)?,
            min: *figures.first()?,
            max: *figures.last()?,
            p50_ns: median_of_whole(taken.iter().filter_map(|taken| taken.p50_ns)),
            p99_ns: median_of_whole(taken.iter().filter_map(|taken| taken.p99_ns)),
            ratio_to_ractor: None,
            ratio_to_tokio: None,
            ratio_to_erlang: None,
            ratio_to_base: None,
        })
    }

    /// The object in the JSON. A memory workload has no rate: its `…_per_sec` are null and its bytes stand beside.
    fn json(&self) -> Value {
        let mut object = json!({
            "workload": self.workload,
            "system": self.system,
            "median_per_sec": null,
            "min_per_sec": null,
            "max_per_sec": null,
            "rounds": self.rounds,
            "ratio_to_ractor": self.ratio_to_ractor,
            "ratio_to_tokio": self.ratio_to_tokio,
            "ratio_to_erlang": self.ratio_to_erlang,
        });
        if self.workload.is_memory() {
            object["bytes_per_process"] = json!(self.median);
            object["min_bytes_per_process"] = json!(self.min);
            object["max_bytes_per_process"] = json!(self.max);
        } else {
            object["median_per_sec"] = json!(self.median);
            object["min_per_sec"] = json!(self.min);
            object["max_per_sec"] = json!(self.max);
        }
        if let Some(ratio) = self.ratio_to_base {
            object["ratio_to_base"] = json!(ratio);
        }
        if let (Some(p50), Some(p99)) = (self.p50_ns, self.p99_ns) {
            object["p50_ns"] = json!(p50);
            object["p99_ns"] = json!(p99);
        }
        object
    }

    fn line(&self) -> String {
        let figure = if self.workload.is_memory() { bytes } else { rate };
        let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
        let nanos = |nanos: Option<u64>| nanos.map_or_else(String::new, |nanos| format!("{nanos} ns"));
        format!(
            "{:<20}{:<11}{:>7}{:>12}{:>12}{:>12}{:>10}{:>9}{:>10}{:>8}{:>14}{:>14}",
            self.workload,
            self.system,
            self.rounds,
            figure(self.median),
            figure(self.min),
            figure(self.max),
            ratio(self.ratio_to_ractor),
            ratio(self.ratio_to_tokio),
            ratio(self.ratio_to_erlang),
            ratio(self.ratio_to_base),
            nanos(self.p50_ns),
            nanos(self.p99_ns),
        )
        .trim_end()
        .to_owned()
    }
}

fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], upper) } else { upper })
}

fn median_of_whole(numbers: impl Iterator<Item = u64>) -> Option<u64> {
    let mut sorted: Vec<u64> = numbers.collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

fn rate(per_sec: f64) -> String {
    if per_sec >= 1e6 { format!("{:.2} M/s", per_sec / 1e6) } else { format!("{:.1} k/s", per_sec / 1e3) }
}

fn bytes(bytes: f64) -> String {
    format!("{bytes:.0} B")
}

/// The line above the rows.
pub fn heading() -> String {
    format!(
        "{:<20}{:<11}{:>7}{:>12}{:>12}{:>12}{:>10}{:>9}{:>10}{:>8}{:>14}{:>14}",
        "workload",
        "system",
        "rounds",
        "median",
        "min",
        "max",
        "× ractor",
        "× tokio",
        "× erlang",
        "× base",
        "p50",
        "p99"
    )
}

/// The rows of one workload, with an empty line after them.
pub fn table(rows: &[Row]) -> String {
    rows.iter().fold(String::new(), |mut table, row| {
        let _ = writeln!(table, "{}", row.line());
        table
    })
}

/// The file for the rows, empty.
pub fn create_json(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes all rows as a JSON array.
pub fn write_json(mut file: File, rows: &[Row]) -> Result<()> {
    let array: Vec<Value> = rows.iter().map(Row::json).collect();
    let text = serde_json::to_string_pretty(&array)? + "\n";
    file.write_all(text.as_bytes()).context("cannot write the rows")
}
