// Every way in which the road to a replica can break, in every phase of an exchange: what the client and the log are
// told, and that nothing is left behind. What a replica says wrong by itself is in replica_faults_test.
#include "component/fixture.hpp"
#include "support/chaos_gate.hpp"

using namespace scoregate;
using namespace scoregate::tests;

namespace {

using act = chaos_gate::act;
using phase = chaos_gate::phase;

const std::string body = "0123456789abcdefghij";

struct outcome {
    unsigned status;
    fault kind = fault::none;
    std::string_view body = "0123456789abcdefghij"; // of the reply, as far as it comes; not of our own
    bool cut = false;                               // the client's connection, in the middle of the reply
    unsigned attempts = 1;
    unsigned connects = 1; // to the replica, an earlier request's included
};

constexpr outcome served{200};
constexpr outcome served_by_another{.status = 200, .connects = 2}; // connection, known to be needed before
constexpr outcome served_again{.status = 200, .attempts = 2, .connects = 2};
constexpr outcome closed{502, fault::replica_closed};
constexpr outcome bad_response{502, fault::replica_bad_response};
constexpr outcome timed_out{504, fault::request_timeout};

enum class framing : std::uint8_t { chunked, length }; // of the reply: chunks of 5 bytes, or Content-Length
enum class upload : std::uint8_t {
    whole, // buffered before it is sent to the replica
    half,  // the replica has been sent the first half while the client has not yet sent the second
};

struct cell {
    act what;
    phase where;
    outcome expected;
    // On a reused connection, if that differs: it may have died of its idleness, and another one is tried.
    std::optional<outcome> when_reused = std::nullopt;
    std::size_t after = 10;
    framing framed = framing::chunked;
    upload sent = upload::whole;
};

// Every act in every phase, but for refuse: only a connection that does not exist yet, or is idle, can be refused.
std::vector<cell> table() {
    using enum chaos_gate::act;
    using enum chaos_gate::phase;
    const auto broken = [](fault kind, framing framed) {
        return outcome{200, kind, std::string_view(body).substr(0, framed == framing::chunked ? 5 : 10), true};
    };
    static constexpr std::string_view flipped_in_body = "0123456789\xe1\xe2\xe3\xe4"
                                                        "efghij";
    std::vector<cell> all{
        {delay, connect, served},
        {slice, connect, served},
        {corrupt, connect, bad_response}, // a reply before the request
        {reset, connect, closed},
        {hang_up, connect, closed},
        {black_hole, connect, {504, fault::connect_timeout}},
        {refuse, connect, {502, fault::connect_failed}},

        {delay, request_head, served},
        {slice, request_head, served},
        {corrupt, request_head, {400, fault::none, "what?"}}, // the replica's own 400
        {reset, request_head, closed, served_again},
        {hang_up, request_head, closed, served_again},
        {black_hole, request_head, timed_out},

        {delay, request_body, served},
        {slice, request_body, served},
        {corrupt, request_body, {200, fault::none, flipped_in_body}}, // nobody can know
        {reset, request_body, closed, served_again},
        {hang_up, request_body, closed, served_again},
        {black_hole, request_body, timed_out},

        {delay, reply_head, served},
        {slice, reply_head, served},
        {corrupt, reply_head, bad_response},
        {reset, reply_head, closed},
        {hang_up, reply_head, closed},
        {black_hole, reply_head, timed_out},
        {reset, reply_head, closed, served_again, 0},
        {hang_up, reply_head, closed, served_again, 0},
        {black_hole, reply_head, timed_out, {}, 0},

        {delay, idle, served},
        {slice, idle, served},
        {corrupt, idle, served_by_another}, // a reply to nothing
        {reset, idle, served_by_another},
        {hang_up, idle, served_by_another},
        {black_hole, idle, timed_out},
        {refuse, idle, {.status = 502, .kind = fault::connect_failed, .connects = 2}},
    };
    for (const auto what : {delay, slice, corrupt, reset, hang_up, black_hole}) {
        const bool ends = what == reset || what == hang_up;
        for (const auto framed : {framing::chunked, framing::length}) {
            auto expected = served;
            if (ends) expected = broken(fault::stream_broken, framed);
            if (what == black_hole) expected = broken(fault::stream_idle_timeout, framed);
            if (what == corrupt && framed == framing::chunked) expected = broken(fault::stream_broken, framed);
            if (what == corrupt && framed == framing::length) expected.body = flipped_in_body; // nobody can know
            all.push_back({what, reply_body, expected, {}, 10, framed});
        }
        auto while_sending = ends ? closed : what == black_hole ? timed_out : served;
        if (what == corrupt)
            while_sending.body = "01234567\xb8\xb9\xe1\xe2"
                                 "cdefghij";
        all.push_back({what, request_body, while_sending, {}, 8, framing::chunked, upload::half});
    }
    return all;
}

std::string name_of(const cell& one, over what, bool reused) {
    constexpr std::array acts{"delay", "slice", "corrupt", "reset", "hang_up", "black_hole", "refuse"};
    constexpr std::array phases{"connect", "request head", "request body", "reply head", "reply body", "idle"};
    return std::string(acts.at(static_cast<std::size_t>(one.what))) + " in " +
           phases.at(static_cast<std::size_t>(one.where)) + " after " + std::to_string(one.after) +
           (one.framed == framing::chunked ? ", reply in chunks" : ", reply with a length") +
           (one.sent == upload::whole ? ", " : ", while sending, ") + (reused ? "reused" : "new") +
           " connection, client " + to_string(what);
}

// Echoes, and tells a request line that is not the one that was sent.
void play(conversation& with, framing framed) {
    for (;;) {
        auto asked = with.read_head();
        if (!with.read_body(asked)) return;
        if (asked.first_line != "POST /score HTTP/1.1")
            with.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\n\r\nwhat?");
        else if (framed == framing::length)
            with.send(ok(asked.body));
        else
            with.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + in_chunks(asked.body, 5));
    }
}

config::settings settings_for(std::uint16_t port, upload sent) {
    auto service = service_of("iris", {});
    service.deployments[0].replicas.push_back(replica_at(port));
    service.deployments[0].settings.max_concurrent_requests = 1; // a slot that leaks is missed at once
    auto made = settings_of({service});
    made.limits.request_buffer_bytes = sent == upload::whole ? 65536 : 1;
    return made;
}

// So that a black hole there is noticed soon, and nothing else is taken for one.
config::settings impatient(config::settings made, phase where) {
    constexpr auto soon = 200ms;
    switch (where) {
    case phase::connect: made.timeouts.connect = soon; break;
    case phase::reply_body: made.timeouts.stream_idle = soon; break;
    default: made.services[0].deployments[0].settings.request_timeout = soon; break;
    }
    return made;
}

// One exchange in which it happens, always at the same moment.
message provoke(chaos_gate& gate, test_client& client, const cell& one) {
    const bool before = (one.where == phase::idle && one.what != act::delay) ||
                        (one.where == phase::connect && (one.what == act::refuse || one.what == act::black_hole));
    gate.arm({one.what, one.where, one.after});
    if (before) gate.strike();
    const auto whole = post(body);
    const auto half = one.sent == upload::half ? body.size() / 2 : 0;
    client.send(std::string_view(whole).substr(0, whole.size() - half));
    if (before) return client.read_reply();
    gate.reached();
    if (one.where == phase::reply_body) // a reset may overtake what is still unread
        client.await(one.framed == framing::chunked ? "01234" : "0123456789");
    const bool goes_on = one.what != act::reset && one.what != act::hang_up;
    if (goes_on) client.send(std::string_view(whole).substr(whole.size() - half));
    gate.strike();
    return client.read_reply();
}

void check_reply(const message& reply, const outcome& expected) {
    INFO(reply.head << reply.body);
    if (expected.kind != fault::none && !expected.cut)
        return check_fault(reply, expected.status, std::string(base::token(expected.kind)), "replica");
    CHECK(reply.status() == expected.status);
    CHECK(reply.body == expected.body);
    CHECK(reply.whole == !expected.cut);
    CHECK_FALSE(reply.has("x-scoregate-fault"));
}

// At once, but for what the client does not wait for.
void check_nothing_left(const running_proxy& proxy) {
    wait_until([&] {
        const auto state = proxy.state_of("iris");
        return state.queued == 0 && state.replicas.at(0).in_flight == 0 && proxy.in_flight("iris") == 0 &&
               proxy.collected_bytes() == 0;
    });
}

} // namespace

TEST_CASE("chaos: every breakage in every phase has its outcome, leaves nothing behind, and is over when it is over") {
    const auto what = GENERATE(over::tls, over::plain);
    const bool reused = GENERATE(false, true);
    const auto one = GENERATE(from_range(table()));
    if (reused ? one.where == phase::connect : one.where == phase::idle) return; // no such cell
    INFO(name_of(one, what, reused));
    const auto expected = reused ? one.when_reused.value_or(one.expected) : one.expected;

    const scripted_replica replica([&one](conversation& with) { play(with, one.framed); });
    chaos_gate gate(replica.port());
    const auto patient = settings_for(gate.port(), one.sent);
    checked_proxy proxy(what, patient);
    std::optional<test_client> client;
    client.emplace(proxy.port(), proxy.terms());
    if (reused) {
        REQUIRE(client->ask(post(body)).body == body);
        proxy.next_record();
    }

    if (one.what == act::black_hole) proxy.reload(impatient(patient, one.where));
    const auto reply = provoke(gate, *client, one);
    check_reply(reply, expected);
    if (expected.cut)
        CHECK((what == over::tls ? client->wait_for_end() == ending::cut : client->wait_for_end() != ending::none));
    const auto record = proxy.next_record();
    check_record(record, expected.status, std::string(base::token(expected.kind)),
                 expected.kind == fault::none ? "" : "replica");
    CHECK(record.value("attempts", 0U) == expected.attempts);
    CHECK(proxy.replica_connects("iris") == expected.connects);
    const bool unsent = one.sent == upload::half && expected.kind == fault::replica_closed;
    CHECK((reply.field("connection") == "close") == unsent); // or the client's next request waits in vain

    gate.heal();
    if (one.what == act::black_hole) proxy.reload(patient);
    if (expected.cut || unsent) client.emplace(proxy.port(), proxy.terms());
    check_nothing_left(proxy);
    const auto good = client->ask(post(body));
    CHECK(good.status() == 200);
    CHECK(good.body == body);
    CHECK(good.whole);
    check_record(proxy.next_record(), 200, "", "");
    check_nothing_left(proxy);
}

TEST_CASE("chaos: who waits for the slot of a broken exchange gets it") {
    const auto what = GENERATE(over::tls, over::plain);
    using enum chaos_gate::act;
    using enum chaos_gate::phase;
    const auto how = GENERATE(corrupt, reset, hang_up, black_hole);
    const auto where = GENERATE(request_head, reply_head, reply_body);
    const cell one{how, where, {}};
    INFO(name_of(one, what, true));
    const scripted_replica replica([](conversation& with) { play(with, framing::chunked); });
    chaos_gate gate(replica.port());
    auto patient = settings_for(gate.port(), upload::whole);
    patient.services[0].deployments[0].settings.max_queue_wait = 60s;
    checked_proxy proxy(what, patient);
    test_client broken(proxy.port(), proxy.terms()), waiting(proxy.port(), proxy.terms());

    if (how == black_hole) proxy.reload(impatient(patient, one.where));
    gate.arm({how, where});
    broken.send(post(body));
    gate.reached();
    if (how == black_hole) proxy.reload(patient); // for the other one
    waiting.send(post(body));
    wait_until([&] { return proxy.state_of("iris").queued == 1; });
    gate.strike();
    const auto reply = broken.read_reply();
    CHECK((reply.status() != 200 || !reply.whole));
    gate.heal(); // a black hole keeps the slot until then: the replica may be at it
    CHECK(waiting.read_reply().body == body);
    check_nothing_left(proxy);
}
