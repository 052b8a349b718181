//! Spans of requests, as a collector receives them.

use async_nats::jetstream;
use serde_json::json;
use verbatim::dev::NatsUser;

use crate::world::{ALL_SCOPES, Bot, Collector, Program, Span, Told, World, eventually, key};

const CLIENT: &str = "00f067aa0ba902b7";

/// The id of a client's trace, and the header with these flags.
fn trace(number: u8, flags: &str) -> (String, String) {
    let trace = format!("4bf92f3577b34da6a3ce929d0e0e47{number:02x}");
    let header = format!("00-{trace}-{CLIENT}-{flags}");
    (trace, header)
}

async fn add_node(world: &mut World, collector: &Collector, sampler: &str, share: &str) {
    let [_, (_, headers)] = collector.settings();
    let (address, file) = (collector.0.url("/v1/traces"), world.dir().join("headers"));
    std::fs::write(&file, headers).expect("a file");
    let settings = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*address),
        // The full address for spans comes first, and an empty setting counts as unset.
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", ""),
        ("VERBATIM_OTLP_HEADERS_FILE", file.to_str().expect("UTF-8")),
        ("OTEL_SERVICE_NAME", "chat"),
        ("OTEL_TRACES_SAMPLER", sampler),
        ("OTEL_TRACES_SAMPLER_ARG", share),
    ];
    world.add_node_with("api,gateway,projector", &settings).await;
}

/// Waits for the four spans of an event, and asserts that each is a child of its cause.
async fn is_whole(collector: &Collector, trace: &str, request: &str, parent: &str) -> Vec<Span> {
    eventually("the trace is whole", || async { collector.of(trace).len() >= 4 }).await;
    let spans = collector.of(trace);
    let named = |begin: &str| {
        let mut found = spans.iter().filter(|span| span.name.starts_with(begin));
        let span = found.next().unwrap_or_else(|| panic!("no span {begin}: {spans:#?}"));
        assert!(found.next().is_none(), "one span {begin}: {spans:#?}");
        span
    };
    let all = [request, "publish ", "project ", "deliver "].map(named);
    let [request, publish, project, deliver] = all;
    assert_eq!(spans.len(), 4, "{spans:#?}");
    assert_eq!((request.kind, publish.kind, project.kind, deliver.kind), (2, 4, 5, 5));
    assert_eq!((&*request.parent, &publish.parent), (parent, &request.id));
    assert_eq!((&project.parent, &deliver.parent), (&publish.id, &publish.id));
    assert!(spans.iter().all(|span| span.begun <= span.ended && !span.is_failed), "{spans:#?}");
    assert!(request.begun <= publish.begun && publish.begun <= deliver.begun, "{spans:#?}");
    let positions = [publish, project, deliver].map(|span| &span.attributes["verbatim.position"]);
    assert!(positions.iter().all(|position| *position == positions[0]), "{spans:#?}");
    all.map(Clone::clone).to_vec()
}

#[tokio::test]
async fn a_request_is_one_trace_to_the_delivery_of_its_event() {
    let (mut world, collector) = (World::empty(1).await, Collector::start().await);
    add_node(&mut world, &collector, "parentbased_always_off", "").await;
    let operator = Program::bootstraps(&world).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let notes = ana.starts_group("Notes", &[&ben]).await;
    let mut device = ben.connects().await;

    let (traced, header) = trace(1, "01");
    let said = ana.with_header("traceparent", &header).says(&notes, "traced").await;
    device.sees("traced").await;
    let spans = is_whole(&collector, &traced, "POST send_message", CLIENT).await;
    let (request, publish) = (&spans[0].attributes, &spans[1].attributes);
    assert_eq!((&*request["http.request.method"], &*request["http.response.status_code"]), ("POST", "201"));
    assert_eq!(publish["messaging.destination.template"], "chat.{shard}.{conversation}.timeline");
    assert_eq!(publish["verbatim.position"], said["position"].to_string());
    assert_eq!((&*publish["messaging.system"], &*publish["verbatim.stream"]), ("nats", "CHAT_0"));

    // Readers of the log continue from the span of the publication.
    let log = jetstream::new(world.nats.connect(NatsUser::Verbatim).await.expect("NATS"));
    let log = log.get_stream("CHAT_0").await.expect("the stream");
    let kept = async |position: u64| {
        let event = log.get_raw_message(position).await.expect("an event");
        event.headers.get("traceparent").map(|trace| trace.as_str().to_owned())
    };
    let position = said["position"].as_u64().expect("a position");
    assert_eq!(kept(position).await, Some(format!("00-{traced}-{}-01", spans[1].id)));

    // A change of the roster, and a command over NATS.
    let (of_group, header) = trace(2, "01");
    ana.with_header("traceparent", &header).starts_group("More notes", &[]).await;
    let spans = is_whole(&collector, &of_group, "POST start_conversation", CLIENT).await;
    assert!(spans[1].name.ends_with(".roster"), "{spans:#?}");
    let bot = Bot::of(&world, operator.makes("robot", ALL_SCOPES).await).await;
    let (of_bot, header) = trace(3, "01");
    let start = json!({ "kind": "group", "title": "Bots", "members": [], "client_id": key() }).to_string();
    bot.says("start_conversation", &[("traceparent", &header)], start).await.expect(201);
    is_whole(&collector, &of_bot, "POST start_conversation", CLIENT).await;

    // One client does not record its trace, and another one names no trace: nothing is recorded here either.
    let (untold, header) = trace(4, "00");
    let said = ana.with_header("traceparent", &header).says(&notes, "not traced").await;
    assert_eq!(kept(said["position"].as_u64().expect("a position")).await, Some(header));
    ana.says(&notes, "no trace").await;
    device.sees("no trace").await;

    // A collector that is down for a moment gets the same spans later. Spans that it refuses are dropped and counted.
    assert_eq!(world.nodes[0].metric("verbatim_spans_dropped_total ").await, 0);
    collector.0.answers(|_| Told::status(503));
    let (late, header) = trace(5, "01");
    ana.with_header("traceparent", &header).get("/v1/me").await.expect(200);
    eventually("it was asked", || async { collector.0.received().iter().any(|one| !one.is_taken) }).await;
    collector.0.answers(|_| Told::status(200));
    eventually("it has taken them", || async { collector.of(&late).len() == 1 }).await;
    collector.0.answers(|_| Told::status(400));
    ana.with_header("traceparent", &trace(6, "01").1).get("/v1/me").await.expect(200);
    eventually("they are dropped", || async {
        world.nodes[0].metric("verbatim_spans_dropped_total ").await == 1
    })
    .await;
    collector.0.answers(|_| Told::status(200));

    // The remaining spans are sent before the node stops.
    let (last, header) = trace(7, "01");
    ana.with_header("traceparent", &header).get("/v1/me").await.expect(200);
    world.nodes[0].stop().await;
    assert_eq!(collector.of(&last).len(), 1, "it is flushed");
    assert!(collector.spans().iter().all(|span| span.trace != untold && !span.parent.is_empty()));
    world.finish_without_views().await;
}

#[tokio::test]
async fn frames_are_traced_from_their_beginning_and_a_share_of_requests() {
    let (mut world, collector) = (World::empty(1).await, Collector::start().await);
    add_node(&mut world, &collector, "always_on", "").await;
    let (none, mut other) = (Collector::start().await, World::empty(1).await);
    add_node(&mut other, &none, "traceidratio", "0").await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let mut device = ana.connects().await;
    device.says(&notes, "by frame").await;
    let frame = || collector.spans().into_iter().find(|span| span.name == "frame send");
    eventually("the frame is told", || async { frame().is_some() }).await;
    is_whole(&collector, &frame().expect("a span").trace, "frame send", "").await;

    let ben = other.person("ben").await;
    ben.with_header("traceparent", &trace(8, "01").1).get("/v1/me").await.expect(200);
    other.nodes[0].stop().await;
    assert_eq!(none.0.received().len(), 0, "no trace is sampled");
    other.finish_without_views().await;
    world.finish().await;
}
