// Against collectors on real sockets that do as they are told.
#include "control/trace_exporter.hpp"

#include "support/run_task.hpp"
#include "support/scripted_replica.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <optional>
#include <stdlib.h>

using namespace scoregate;
using namespace scoregate::control;
using namespace scoregate::tests;
using namespace std::chrono_literals;
using conversation = scripted_replica::conversation;

namespace {

trace_destination at_port(std::uint16_t port, const std::string& path = "") {
    std::string wrong;
    const auto to = config::parse_collector("http://127.0.0.1:" + std::to_string(port) + path, wrong);
    REQUIRE(to);
    return {*to, "front", "X-Tenant: iris\r\n", {}};
}

// Quick, and patient where nothing is said.
constexpr trace_exporter::options quick{5ms, 20s, 2ms, 10ms, 20s, 2};

struct exporting {
    explicit exporting(trace_destination to, trace_exporter::options how = quick)
        : exporter(loop.get_executor(), log, std::move(to), how) {
        start(loop, exporter.run(), ended);
    }

    void write(unsigned count, const std::string& path = "/") {
        for (unsigned i = 0; i < count; ++i) {
            auto made = std::make_unique<telemetry::trace>();
            made->id.fill('1');
            made->own.fill('2');
            made->path = path;
            log.at(0).write(std::move(made));
        }
        log.at(0).flush();
    }
    template <class Condition>
    void run_until(Condition met) {
        const auto end = std::chrono::steady_clock::now() + patience;
        while (!met() && std::chrono::steady_clock::now() < end) loop.run_one_for(100ms);
        CHECK(met());
    }
    void finish(std::chrono::milliseconds longest = 20s) {
        bool finished = false;
        start(loop, exporter.finish(longest), finished);
        run_until([&] { return finished; });
    }

    base::asio::io_context loop{1};
    telemetry::trace_log log{telemetry::trace_log::options{}};
    bool ended = false;
    trace_exporter exporter;
};

std::size_t spans_in(const message& request) {
    return nlohmann::json::parse(request.body)["resourceSpans"][0]["scopeSpans"][0]["spans"].size();
}

std::string with_status(unsigned status, const std::string& fields = "") {
    return "HTTP/1.1 " + std::to_string(status) + " As It Is\r\n" + fields + "Content-Length: 0\r\n\r\n";
}

// The first connection gets the reply, all others 200.
scripted_replica::script once(std::string reply) {
    return [reply = std::move(reply)](conversation& with) {
        with.read_request();
        with.send(with.number() == 0 ? reply : ok("{}"));
        with.close();
    };
}

} // namespace

TEST_CASE("traces leave in batches, as JSON, with the fields that were asked for") {
    scripted_replica collector(always(ok("{}")));
    exporting at(at_port(collector.port(), "/otlp/v1/traces"));
    at.write(5);
    at.run_until([&] { return at.log.exported() == 5; });
    CHECK(collector.requests() == 3);
    CHECK(spans_in(collector.request(0)) == 2);
    CHECK(spans_in(collector.request(1)) == 2);
    CHECK(spans_in(collector.request(2)) == 1);
    const auto asked = collector.request(0);
    CHECK(asked.first_line == "POST /otlp/v1/traces HTTP/1.1");
    CHECK(asked.field("host") == "127.0.0.1:" + std::to_string(collector.port()));
    CHECK(asked.field("content-type") == "application/json");
    CHECK(asked.field("x-tenant") == "iris");
    CHECK(at.log.dropped() == 0);
    at.finish();
    CHECK(at.ended);
}

TEST_CASE("a collector that is busy gets the same batch again") {
    const auto status = GENERATE(429U, 502U, 503U, 504U);
    CAPTURE(status);
    scripted_replica collector(once(with_status(status, "Retry-After: 0\r\n")));
    exporting at(at_port(collector.port()));
    at.write(2);
    at.run_until([&] { return at.log.exported() == 2; });
    CHECK(collector.requests() == 2);
    CHECK(collector.request(0).body == collector.request(1).body);
    CHECK(at.log.dropped() == 0);
    at.finish();
}

TEST_CASE("a collector that hangs up, or answers nonsense, gets it again") {
    const auto* const reply = GENERATE("", "nonsense\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n");
    CAPTURE(reply);
    scripted_replica collector(once(reply));
    exporting at(at_port(collector.port()));
    at.write(1);
    at.run_until([&] { return at.log.exported() == 1; });
    CHECK(collector.requests() == 2);
    at.finish();
}

TEST_CASE("what a collector refuses is dropped at once") {
    const auto status = GENERATE(301U, 400U, 401U, 404U, 413U, 500U);
    CAPTURE(status);
    scripted_replica collector(once(with_status(status)));
    exporting at(at_port(collector.port()));
    at.write(3);
    at.run_until([&] { return at.log.exported() == 1; });
    CHECK(at.log.dropped() == 2);
    CHECK(collector.requests() == 2);
    at.finish();
}

TEST_CASE("who refuses before all has come, and hangs up, has answered") {
    scripted_replica collector([](conversation& with) {
        with.read_head();
        with.send(with_status(413));
        with.close();
    });
    auto how = quick;
    how.batch = 256;
    exporting at(at_port(collector.port()), how);
    at.write(256, std::string(64 * 1024, 'x')); // more than the sockets between hold
    at.run_until([&] { return at.log.dropped() == 256; });
    CHECK(collector.connections() == 1);
    at.finish();
}

TEST_CASE("a batch that nobody takes is given up after a while") {
    std::uint16_t port = 0;
    {
        const scripted_replica gone(always(""));
        port = gone.port();
    }
    auto how = quick;
    how.longest_retry = 30ms;
    exporting at(at_port(port), how);
    at.write(2);
    at.run_until([&] { return at.log.dropped() == 2; });
    CHECK(at.log.exported() == 0);
    at.finish();
}

TEST_CASE("a collector that does not answer in time is given up") {
    scripted_replica collector([](conversation& with) {
        with.read_request();
        with.wait_for_end();
    });
    auto how = quick;
    how.timeout = 30ms;
    how.longest_retry = 0ms;
    exporting at(at_port(collector.port()), how);
    at.write(1);
    at.run_until([&] { return at.log.dropped() == 1; });
    at.finish();
}

TEST_CASE("at the end what is there is sent, without waiting for the next batch") {
    scripted_replica collector(always(ok("{}")));
    auto how = quick;
    how.interval = 1h;
    exporting at(at_port(collector.port()), how);
    at.loop.run_one(); // it has found nothing, and rests
    at.write(5);
    at.finish();
    CHECK(at.ended);
    CHECK(at.log.exported() == 5);
}

TEST_CASE("at the end a collector that hangs is not waited for longer than that") {
    scripted_replica collector([](conversation& with) {
        with.read_request();
        with.wait_for_end();
    });
    exporting at(at_port(collector.port()));
    at.write(1);
    at.run_until([&] { return collector.requests() == 1; });
    at.finish(20ms);
    CHECK_FALSE(at.ended);
}

TEST_CASE("header fields of a collector are read from their file, which is never shown") {
    auto folder = (std::filesystem::temp_directory_path() / "scoregate-traces-XXXXXX").string();
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    config::tracing from;
    from.endpoint = "http://127.0.0.1:4318";
    from.headers_file = folder + "/headers";
    std::vector<std::string> warnings;
    const auto read = [&](const std::string& text, config::problems& problems) {
        std::ofstream{*from.headers_file} << text;
        std::filesystem::permissions(*from.headers_file, std::filesystem::perms::owner_read,
                                     std::filesystem::perm_options::replace);
        auto made = read_trace_destination(from, "scoregate.json", problems, warnings);
        std::filesystem::permissions(*from.headers_file, std::filesystem::perms::owner_write,
                                     std::filesystem::perm_options::add);
        return made;
    };
    config::problems none;
    const auto good = read("# of the collector\n\nauthorization: Bearer s3cret\r\nX-Tenant:iris", none);
    REQUIRE(good);
    CHECK(none.empty());
    CHECK(good->fields == "authorization: Bearer s3cret\r\nX-Tenant: iris\r\n");
    for (const std::string bad :
         {"Bearer s3cret", "s3cret: \x01", "a b: s3cret", "Content-Length: 3", "User-Agent: s3cret", ": s3cret"}) {
        INFO(bad);
        config::problems found;
        CHECK_FALSE(read("X: y\n" + bad + "\n", found));
        REQUIRE(found.size() == 1);
        CHECK(found[0].pointer == "/tracing/headers_file");
        CHECK_THAT(found[0].message, Catch::Contains("line 2") && !Catch::Contains("s3cret"));
    }
    CHECK(warnings.empty());
    std::filesystem::permissions(*from.headers_file, std::filesystem::perms::others_read,
                                 std::filesystem::perm_options::add);
    config::problems ignored;
    read_trace_destination(from, "scoregate.json", ignored, warnings);
    REQUIRE(warnings.size() == 1);
    CHECK_THAT(warnings[0], Catch::Contains("can be read by every user"));
    from.headers_file = folder + "/absent";
    config::problems missing;
    CHECK_FALSE(read_trace_destination(from, "scoregate.json", missing, warnings));
    REQUIRE(missing.size() == 1);
    CHECK_THAT(missing[0].message, Catch::Contains("absent"));
    std::filesystem::remove_all(folder);
}
