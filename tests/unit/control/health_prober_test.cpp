#include "control/health_prober.hpp"
#include "support/scripted_replica.hpp"
#include "support/unix_listener.hpp"
#include "telemetry/log.hpp"
#include "unit/control/configurations.hpp"

#include <catch2/catch.hpp>
#include <spdlog/sinks/ostream_sink.h>

#include <algorithm>
#include <sstream>

using namespace scoregate;
using namespace scoregate::control;
using namespace std::chrono_literals;
using namespace std::string_literals;
using routing::standing;
using telemetry::probe_result;
using tests::always;
using tests::ok;
using tests::scripted_replica;
namespace asio = boost::asio;

namespace {

// What is logged while it lives.
class log_reader {
public:
    log_reader() { telemetry::log().sinks().push_back(std::make_shared<spdlog::sinks::ostream_sink_mt>(out_)); }
    ~log_reader() { telemetry::log().sinks().pop_back(); }
    log_reader(const log_reader&) = delete;
    log_reader& operator=(const log_reader&) = delete;
    std::string text() const { return out_.str(); }

private:
    std::ostringstream out_;
};

config::service probed(std::vector<config::replica> replicas) {
    auto made = service_named("iris", std::move(replicas));
    auto& terms = made.deployments[0].readiness_probe.emplace();
    terms.path = "/health";
    terms.initial_delay = 0s;
    terms.period = 5s;
    terms.failure_threshold = 1;
    return made;
}

config::service probed(const scripted_replica& replica) { return probed({replica_at("127.0.0.1", replica.port())}); }

// A prober whose time passes as the test says, over real sockets.
struct fixture {
    asio::io_context io{1};
    discovery names{io.get_executor()};
    assembly build{1};
    health_prober prober{io.get_executor(), build};
    health_prober::time_point now{1h};

    explicit fixture(const config::service& wanted) { serve(wanted); }
    explicit fixture(std::vector<config::service> wanted) { serve(std::move(wanted)); }

    void serve(const config::service& wanted) { serve(std::vector{wanted}); }
    void serve(std::vector<config::service> wanted) {
        build.build(settings_of(std::move(wanted)), names, [](const std::string&) { return auth::credentials{}; }, {});
    }
    assembly::watched blue() const { return build.deployments().at(0); }
    void look(std::chrono::milliseconds later) {
        for (const auto end = now + later; now < end;) {
            now = std::min(end, now + health_prober::between_looks);
            prober.look(now);
        }
        if (later == 0ms) prober.look(now);
    }
    void begin_probes() {
        io.restart();
        io.poll();
    }
    template <class Condition>
    void run_until(Condition reached) {
        const auto end = std::chrono::steady_clock::now() + tests::patience;
        while (!reached()) {
            REQUIRE(std::chrono::steady_clock::now() < end);
            io.restart();
            io.run_one_for(10ms);
        }
    }
    // A look, and the probes that it begins to their end.
    void probe(std::chrono::milliseconds later = 0ms) {
        look(later);
        run_until([this] { return prober.under_way() == 0; });
    }
    standing stands(std::size_t number = 0) const {
        return build.state_of("iris", "blue").replicas.at(number).standing;
    }
    unsigned in_flight() const { return build.state_of("iris", "blue").replicas.at(0).in_flight; }
    std::uint64_t count(probe_result what) const {
        return blue().metrics->health.probes.at(static_cast<std::size_t>(what)).value();
    }
};

// Reads the request, then sends these bytes and closes.
scripted_replica::script says(std::string reply) {
    return [reply = std::move(reply)](scripted_replica::conversation& with) {
        with.read_request();
        with.send(reply);
        with.shut();
        with.wait_for_end();
    };
}

void read_and_hang(scripted_replica::conversation& with) {
    with.read_request();
    with.wait_for_end();
}

} // namespace

TEST_CASE("a probe is a request of its own connection, and a good reply makes a new replica ready") {
    scripted_replica replica(always(ok("Healthy")));
    fixture at(probed(replica));
    CHECK(at.stands() == standing::starting);
    at.probe();
    CHECK(at.stands() == standing::ready);
    CHECK(at.in_flight() == 0);
    CHECK(replica.request(0).head == "GET /health HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(replica.port()) +
                                         "\r\nUser-Agent: scoregate\r\nConnection: close\r\n\r\n");
    at.probe(4750ms);
    CHECK(replica.connections() == 1);
    at.probe(250ms);
    CHECK(replica.connections() == 2);
    CHECK(at.count(probe_result::success) == 2);
}

TEST_CASE("a probe has the fields that are written, and the deployment's Host") {
    scripted_replica replica(always(ok("")));
    auto wanted = probed(replica);
    wanted.deployments[0].host_header = "model:8080";
    wanted.deployments[0].readiness_probe->path = "/ready?full=1";
    wanted.deployments[0].readiness_probe->headers = {{"X-Api-Key", "s3cret"}, {"user-agent", "kube-probe/1"}};
    fixture at(wanted);
    at.probe();
    CHECK(replica.request(0).head == "GET /ready?full=1 HTTP/1.1\r\nHost: model:8080\r\nConnection: close\r\n"
                                     "X-Api-Key: s3cret\r\nuser-agent: kube-probe/1\r\n\r\n");
}

TEST_CASE("a replica behind a Unix socket is probed by the name localhost, not by its path") {
    asio::io_context io;
    tests::unix_listener model(io);
    fixture at(probed({{"http+unix://" + model.path(), model.path(), 80, false, config::replica_source::unix_socket}}));
    at.look(0ms);
    at.begin_probes();
    auto with = model.accept();
    std::string request;
    asio::read_until(with, asio::dynamic_buffer(request), "\r\n\r\n");
    CHECK(request == "GET /health HTTP/1.1\r\nHost: localhost\r\nUser-Agent: scoregate\r\nConnection: close\r\n\r\n");
    asio::write(with, asio::buffer(ok("")));
    at.run_until([&] { return at.prober.under_way() == 0; });
    CHECK(at.stands() == standing::ready);
}

TEST_CASE("a whole reply with an expected code is a success, whatever else it is") {
    const auto reply = GENERATE(
        ok("Healthy"), ok(std::string(100'000, 'x')), "HTTP/1.1 204 No Content\r\n\r\n"s,
        "HTTP/1.1 399 Odd\r\nContent-Length: 0\r\n\r\n"s, "HTTP/1.0 200 OK\r\n\r\nuntil the end"s,
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"s,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"s, ok(std::string(2 << 20, 'x')));
    scripted_replica replica(says(reply));
    fixture at(probed(replica));
    at.probe();
    CHECK(at.stands() == standing::ready);
    CHECK(at.count(probe_result::success) == 1);
}

TEST_CASE("anything else is a failure, and the log says which; never the values of headers, nor a query") {
    struct row {
        std::string reply, told;
    };
    const auto one = GENERATE(values<row>({
        {"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "503, expected 200-399"},
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404, expected 200-399"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHealth", "its reply ended before it was whole"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "its reply ended before it was whole"},
        {"HTTP/1.1 200 OK\r\nContent-Le", "its reply ended before it was whole"},
        {"", "its reply ended before it was whole"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "its reply is no HTTP/1.1"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "its reply is no HTTP/1.1"},
        {"SSH-2.0-server\r\n\r\n", "its reply is no HTTP/1.1"},
    }));
    scripted_replica replica(says(one.reply));
    auto wanted = probed(replica);
    wanted.deployments[0].readiness_probe->path = "/health?token=s3cret";
    wanted.deployments[0].readiness_probe->headers = {{"X-Api-Key", "s3cret"}};
    fixture at(wanted);
    at.probe();
    CHECK(at.stands() == standing::unready);
    CHECK(at.count(probe_result::failure) == 1);
    const log_reader log;
    at.look(250ms);
    CHECK_THAT(log.text(), Catch::Contains("http://127.0.0.1:" + std::to_string(replica.port()) +
                                           " of iris/blue is unready: probe GET /health: " + one.told));
    CHECK_THAT(log.text(), !Catch::Contains("s3cret"));
}

TEST_CASE("nobody who listens is a failure, and it is ready once somebody does") {
    // A port that is ours, so that nobody else listens on it.
    asio::io_context io;
    base::tcp_acceptor taken(io.get_executor());
    taken.open(base::tcp::v4());
    taken.bind({asio::ip::address_v4::loopback(), 0});
    fixture at(probed({replica_at("127.0.0.1", taken.local_endpoint().port())}));
    at.probe();
    CHECK(at.stands() == standing::unready);
    const log_reader log;
    at.look(250ms);
    CHECK_THAT(log.text(), Catch::Contains("no connection (Connection refused)"));

    taken.listen();
    base::tcp_socket with(io.get_executor());
    at.look(5s);
    at.begin_probes();
    taken.accept(with);
    base::error_code ec;
    with.send(asio::buffer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"s), 0, ec);
    at.run_until([&] { return at.prober.under_way() == 0; });
    CHECK(at.stands() == standing::ready);
    at.look(250ms);
    CHECK_THAT(log.text(), Catch::Contains("is ready"));
}

TEST_CASE("a probe ends with its timeout, and gives its slot and its connection back") {
    scripted_replica replica(read_and_hang);
    fixture at(probed(replica));
    at.look(0ms);
    at.run_until([&] { return replica.requests() == 1; });
    at.look(1900ms);
    at.io.poll();
    CHECK(at.prober.under_way() == 1);
    CHECK(at.in_flight() == 1);
    at.look(250ms);
    at.run_until([&] { return at.prober.under_way() == 0; });
    replica.wait_for_endings(1);
    CHECK(at.in_flight() == 0);
    CHECK(at.stands() == standing::unready);
    const log_reader log;
    at.look(250ms);
    CHECK_THAT(log.text(), Catch::Contains("no whole reply within 2 s"));
}

TEST_CASE("a reply that came while the control thread was busy with something else is not too late") {
    tests::event answer;
    scripted_replica replica(tests::answer_after(answer));
    fixture at(probed(replica));
    at.look(0ms);
    at.run_until([&] { return replica.requests() == 1; });
    answer.set();
    at.now += 1h;
    at.prober.look(at.now);
    at.run_until([&] { return at.prober.under_way() == 0; });
    CHECK(at.stands() == standing::ready);
}

TEST_CASE("a replica at its cap is not probed; what it answers stands in for a probe") {
    scripted_replica replica(always(ok("")));
    fixture at(probed(replica)); // one request at once
    at.probe();
    auto held = at.blue().replicas->reserve_now(at.now);
    REQUIRE(held.has_value());
    for (int looks = 0; looks < 100; ++looks) at.probe(1s);
    CHECK(replica.connections() == 1);
    CHECK(at.stands() == standing::ready);
    held->release(routing::outcome::answered);
    at.probe(250ms);
    CHECK(replica.connections() == 1);
    CHECK(at.count(probe_result::skipped) == 1);
    at.probe(5s);
    CHECK(replica.connections() == 2);
}

TEST_CASE("a reload that changes no terms resets nothing; other terms count at once") {
    scripted_replica replica(always(ok("")));
    auto wanted = probed(replica);
    fixture at(wanted);
    at.probe();
    wanted.deployments[0].settings.max_concurrent_requests = 2;
    at.serve(wanted);
    at.probe(250ms);
    CHECK(replica.connections() == 1);
    wanted.deployments[0].readiness_probe->expected = {{204, 204}};
    at.serve(wanted);
    at.probe(250ms);
    CHECK(replica.connections() == 2);
    CHECK(at.stands() == standing::unready);
    wanted.deployments[0].readiness_probe.reset();
    at.serve(wanted);
    CHECK(at.stands() == standing::ready);
    at.probe(1min);
    CHECK(replica.connections() == 2);
}

TEST_CASE("what a probe finds by terms that have changed meanwhile does not count") {
    tests::event answer;
    scripted_replica replica(tests::answer_after(answer));
    auto wanted = probed(replica);
    wanted.deployments[0].settings.max_concurrent_requests = 2;
    wanted.deployments[0].readiness_probe->expected = {{503, 503}};
    fixture at(wanted);
    at.look(0ms);
    at.run_until([&] { return replica.requests() == 1; });
    wanted.deployments[0].readiness_probe->expected = {{200, 200}};
    at.serve(wanted);
    at.look(250ms);
    answer.set();
    at.run_until([&] { return at.prober.under_way() == 0; });
    CHECK(at.count(probe_result::failure) == 0);
    CHECK(at.count(probe_result::success) == 1);
    CHECK(at.stands() == standing::ready);
}

namespace {

// The kernel takes connections, and nobody answers them.
struct silent_servers {
    asio::io_context io;
    base::tcp_acceptor listening{io.get_executor(), {asio::ip::address_v4::any(), 0}};

    config::service service(const std::string& name, std::size_t replicas) const {
        static int last = 0; // each an address of its own in 127.0.0.0/8
        std::vector<config::replica> made;
        for (std::size_t i = 0; i < replicas; ++i, ++last)
            made.push_back(replica_at("127.0." + std::to_string(last / 200) + '.' + std::to_string(last % 200 + 1),
                                      listening.local_endpoint().port()));
        auto one = probed(std::move(made));
        one.name = name;
        return one;
    }
};

std::ptrdiff_t starting(const fixture& at, const std::string& service) {
    const auto all = at.build.state_of(service, "blue").replicas;
    return std::count_if(all.begin(), all.end(), [](const auto& one) { return one.standing == standing::starting; });
}

} // namespace

TEST_CASE("a deployment whose probes hang keeps no other from having its own, and its replicas have their turn") {
    const silent_servers hang;
    scripted_replica replica(always(ok("")));
    auto well = probed(replica);
    well.name = "well";
    constexpr auto most = health_prober::most_of_deployment;
    fixture at({hang.service("iris", health_prober::most_at_once + 1), well});
    at.look(0ms);
    at.begin_probes();
    at.run_until([&] { return at.prober.under_way() == most; });
    CHECK(at.build.state_of("well", "blue").replicas.at(0).standing == standing::ready);
    at.look(1s);
    at.begin_probes();
    CHECK(at.prober.under_way() == most);
    at.look(1250ms);
    at.run_until([&] { return at.prober.under_way() == 0; });
    CHECK(starting(at, "iris") == health_prober::most_at_once + 1 - most);
    at.look(250ms);
    at.begin_probes();
    CHECK(at.prober.under_way() == most);
    at.look(2250ms);
    at.run_until([&] { return at.prober.under_way() == 0; });
    CHECK(starting(at, "iris") == health_prober::most_at_once + 1 - 2 * most);
}

TEST_CASE("no more than so many probes are under way at once over all deployments, and the others have their turn") {
    const silent_servers hang;
    std::vector<config::service> services;
    for (std::size_t i = 0; i <= health_prober::most_at_once / health_prober::most_of_deployment; ++i)
        services.push_back(hang.service("s" + std::to_string(i), health_prober::most_of_deployment));
    fixture at(services);
    at.look(0ms);
    at.begin_probes();
    CHECK(at.prober.under_way() == health_prober::most_at_once);
    at.look(1s);
    at.begin_probes();
    CHECK(at.prober.under_way() == health_prober::most_at_once);
    at.look(1250ms);
    at.run_until([&] { return at.prober.under_way() == 0; });
    at.look(250ms);
    CHECK(at.prober.under_way() == health_prober::most_of_deployment);
}

TEST_CASE("a stop ends the probes under way, and nothing is concluded from them") {
    scripted_replica replica(read_and_hang);
    fixture at(probed(replica));
    base::gate inside;
    base::spawn(at.io.get_executor(), inside, at.prober.run());
    at.run_until([&] { return replica.requests() == 1; });
    at.prober.stop();
    at.run_until([&] { return at.prober.under_way() == 0 && inside.inside() == 0; });
    replica.wait_for_endings(1);
    CHECK(at.in_flight() == 0);
    CHECK(at.stands() == standing::starting);
    CHECK(at.count(probe_result::failure) == 0);
}

TEST_CASE("a loop that ends with probes under way takes them with it") {
    scripted_replica replica(read_and_hang);
    {
        fixture at(probed(replica));
        base::gate inside;
        base::spawn(at.io.get_executor(), inside, at.prober.run());
        at.run_until([&] { return replica.requests() == 1; });
    }
    replica.wait_for_endings(1);
    fixture begun(probed(replica));
    begun.look(0ms); // not even begun
}

TEST_CASE("what requests have made of a replica is logged and counted, with probes and without") {
    scripted_replica one(always(ok(""))), other(always(ok("")));
    auto wanted = probed({replica_at("127.0.0.1", one.port()), replica_at("127.0.0.1", other.port())});
    if (GENERATE(false, true)) wanted.deployments[0].readiness_probe.reset();
    wanted.deployments[0].settings.max_concurrent_requests.reset();
    fixture at(wanted);
    at.probe();
    const log_reader log;
    const auto end = [&](routing::outcome what) { // of a request at each
        auto first = at.blue().replicas->reserve_now(at.now), second = at.blue().replicas->reserve_now(at.now);
        REQUIRE((first.has_value() && second.has_value()));
        for (auto* each : {&*first, &*second})
            each->release(each->where().url.ends_with(std::to_string(one.port())) ? what : routing::outcome::answered);
    };
    for (unsigned i = 0; i < routing::failures_to_eject; ++i) end(routing::outcome::failed);
    CHECK(at.stands(0) == standing::ejected);
    at.probe(250ms);
    CHECK_THAT(log.text(), Catch::Contains(std::to_string(one.port()) + " of iris/blue is ejected for 30 s"));
    CHECK(at.blue().metrics->health.ejections.value() == 1);
    at.probe(15s);
    CHECK(at.stands(0) == standing::ejected); // whatever its probes say
    at.probe(15s);
    CHECK(at.stands(0) == standing::half_open);
    at.probe(250ms);
    CHECK_THAT(log.text(), Catch::Contains("is tried again"));
    end(routing::outcome::answered);
    at.probe(250ms);
    CHECK_THAT(log.text(), Catch::Contains(std::to_string(one.port()) + " of iris/blue is ready"));
}
