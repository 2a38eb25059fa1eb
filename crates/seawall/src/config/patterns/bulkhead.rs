//! `bulkhead = { … }`: calls at once, and who waits for a place.

use seawall_core::BulkheadConfig;

use super::by_class;
use crate::config::{MainKey, Table, Value};

/// Reads the field `bulkhead` of `table`: a table of settings onto `base`, the name of a preset, `true` for `base`
/// as it is, or `false`. `absent` says whether there is a bulkhead where nothing is written; `read` reads the table.
pub fn bulkhead_or_preset(
    table: &mut Table<'_>,
    absent: bool,
    base: BulkheadConfig,
    read: impl FnOnce(Table<'_>, BulkheadConfig) -> BulkheadConfig,
) -> Option<BulkheadConfig> {
    let preset = |value: &Value<'_>| {
        let name = value.value.as_str()?;
        PRESETS.iter().position(|preset| *preset == name)
    };
    match table.peek("bulkhead").as_ref().and_then(preset) {
        Some(preset) => {
            table.take("bulkhead");
            Some(CONFIGS[preset].clone())
        }
        None => table.pattern("bulkhead", &BULKHEAD).on(absent, base, read),
    }
}

/// Reads `bulkhead = { … }` onto `base`.
pub fn bulkhead(mut table: Table<'_>, base: BulkheadConfig) -> BulkheadConfig {
    let mut config = base;
    table.set("max_concurrent", Value::count, &mut config.max_concurrent);
    table.set("max_queue", Value::count, &mut config.max_queue);
    table.set("max_wait", Value::duration, &mut config.max_wait);
    table.set("max_run", Value::duration_or_none, &mut config.max_run);
    table.set("priority", Value::flag, &mut config.priority);
    table.set("reserves", |value| by_class(value, Value::count), &mut config.reserves);
    table.set("pool_threads", |value| value.count().map(Some), &mut config.pool_threads);
    table.check(|found| config.check(found));
    table.end();
    config
}

/// The main key of `bulkhead`.
pub const BULKHEAD: MainKey =
    MainKey::new("max_concurrent", "100", |value: &Value<'_>| value.count().is_some())
        .or_one_of(&PRESETS);

const PRESETS: [&str; 4] = ["database", "llm", "external_api", "file_operations"];
const CONFIGS: [BulkheadConfig; 4] = [
    BulkheadConfig::database(),
    BulkheadConfig::llm(),
    BulkheadConfig::external_api(),
    BulkheadConfig::file_operations(),
];
