//! Starts the export of spans.

use crate::{
    app::AppError,
    clock::Clock,
    config::{Settings, SpanDestination},
    supervise::Supervisor,
    telemetry::traces::SpanExport,
};

/// Records spans if the settings name a collector.
pub(super) fn start(settings: &Settings, clock: &Clock, tasks: &Supervisor) -> Result<SpanExport, AppError> {
    let Some(SpanDestination { service, sampler, post }) = settings.span_destination()? else {
        return Ok(SpanExport::none());
    };
    let spans = SpanExport::start(sampler, service, clock.clone(), post);
    tasks.spawn("traces", spans.clone().run());
    Ok(spans)
}
