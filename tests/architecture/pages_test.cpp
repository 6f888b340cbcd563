// docs/replies.md says what base/fault.hpp says, docs/metrics.md what GET /metrics says: nothing more, nothing less.
#include "architecture/project.hpp"
#include "base/fault.hpp"
#include "telemetry/registry.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <map>
#include <regex>
#include <set>

using namespace scoregate;
using namespace scoregate::tests;

namespace {

// Rows as text, so that a failure prints both sides.
std::string fault_line(std::string_view token, std::string_view status, std::string_view side) {
    return std::string(token) + ' ' + std::string(status) + ' ' + std::string(side);
}

struct metric {
    std::string type;
    std::set<std::string> labels;
    friend bool operator==(const metric&, const metric&) = default;
};

std::set<std::string> words_of(const std::string& text, const std::regex& word) {
    std::set<std::string> found;
    for (std::sregex_iterator each{text.begin(), text.end(), word}, end; each != end; ++each) found.insert((*each)[1]);
    return found;
}

std::map<std::string, metric> documented_metrics() {
    const std::regex type{"counter|gauge|histogram"}, label{R"((\w+))"};
    std::map<std::string, metric> found;
    for (const auto& line : lines_of(text_of("docs/metrics.md"))) {
        const auto cells = cells_of(line);
        if (cells.size() < 3 || !std::regex_match(cells[1], type)) continue;
        const auto name = code_of(cells[0]);
        const auto brace = name.find('{');
        INFO(name);
        CHECK_FALSE(cells[2].empty());
        auto& made = found[name.substr(0, brace)];
        made.type = cells[1];
        if (brace != std::string::npos) made.labels = words_of(name.substr(brace), label);
    }
    return found;
}

// Every metric there is, from a page on which each has a sample.
std::map<std::string, metric> served_metrics() {
    telemetry::service_metrics service("iris", "blue", 1);
    service.at(0).requests.add(base::fault::none, 200);
    service.at(0).requests.add(base::fault::queue_full, 503);
    service.at(0).mirrored[0].add();
    const telemetry::core_metrics core;
    const telemetry::service_metrics whole("iris", "", 1);
    const std::array<const telemetry::service_metrics*, 2> services{&service, &whole};
    service.health.probes[0].add();
    const std::array<telemetry::deployment_load, 1> loads{{{&service, 0, 0, 1, 0, {{"http://a", true}}}}};
    const std::array<const telemetry::core_metrics*, 1> cores{&core};
    const std::array<std::chrono::nanoseconds, 1> core_cpu{};
    const std::array<telemetry::certificate_expiry, 1> certificates{{{"www.contoso.com", "01", {}}}};
    const std::array<telemetry::reload_counts, 1> reloads{{{"configuration", 0, 0, true}}};
    telemetry::observations seen;
    seen.version = "1";
    seen.services = services;
    seen.loads = loads;
    seen.cores = cores;
    seen.core_cpu = core_cpu;
    seen.certificates = certificates;
    seen.reloads = reloads;
    seen.acme = telemetry::acme_counts{0, 0};

    const std::regex sample{R"(^(\w+)(\{.*\})? )"}, label{R"re((\w+)="[^"]*")re"};
    std::map<std::string, metric> found;
    std::string family;
    for (const auto& line : lines_of(telemetry::prometheus_text(seen))) {
        std::smatch match;
        if (line.starts_with("# TYPE ")) {
            const auto type = line.rfind(' ');
            family = line.substr(7, type - 7);
            found[family].type = line.substr(type + 1);
        } else if (std::regex_search(line, match, sample)) {
            INFO(line);
            REQUIRE(std::string(match[1]).starts_with(family));
            for (const auto& name : words_of(match[2], label))
                if (name != "le") found[family].labels.insert(name);
        }
    }
    return found;
}

} // namespace

TEST_CASE("docs/replies.md lists every fault with its status and side") {
    std::set<std::string> documented, built;
    const std::set<std::string> sides{"client", "replica", "proxy"};
    for (const auto& line : lines_of(text_of("docs/replies.md"))) {
        const auto cells = cells_of(line);
        if (cells.size() != 5 || !sides.contains(cells[2])) continue;
        INFO(line);
        CHECK_FALSE(cells[3].empty()); // when
        CHECK_FALSE(cells[4].empty()); // what to do
        CHECK(documented.insert(fault_line(code_of(cells[0]), cells[1], cells[2])).second);
    }
    for (const auto& row : base::fault_table) {
        if (row.kind == base::fault::none) continue;
        const auto status = row.status == 0 ? "cut" : std::to_string(row.status);
        built.insert(fault_line(row.token, status, base::to_string(row.blame)));
    }
    CHECK(documented == built);
}

TEST_CASE("every fault of the table is raised somewhere (docs/decisions/0005-faults-that-can-happen.md)") {
    // Enumerators carry the names of their tokens.
    std::set<std::string> raised;
    const std::regex use{R"(\bfault::(\w+))"};
    for (const auto& file : files_below("server", {".cpp", ".hpp", ".ipp"})) {
        if (file == "server/base/fault.hpp") continue;
        raised.merge(words_of(without_comments(text_of(file)), use));
    }
    for (const auto& row : base::fault_table) {
        if (row.kind == base::fault::none) continue;
        INFO(row.token);
        CHECK(raised.contains(std::string(row.token)));
    }
}

TEST_CASE("docs/metrics.md lists every metric with its type and labels") {
    const auto documented = documented_metrics();
    const auto served = served_metrics();
    for (const auto& [name, what] : served) {
        INFO(name);
        REQUIRE(documented.contains(name));
        CHECK(documented.at(name).type == what.type);
        CHECK(documented.at(name).labels == what.labels);
    }
    for (const auto& each : documented) {
        INFO(each.first);
        CHECK(served.contains(each.first));
    }
}

TEST_CASE("docs/metrics.md names every reason of a failed handshake") {
    const auto page = text_of("docs/metrics.md");
    for (std::size_t i = 0; i < telemetry::handshake_failure_count; ++i) {
        const auto word = std::string(to_string(static_cast<telemetry::handshake_failure>(i)));
        INFO(word);
        CHECK(page.find('`' + word + '`') != std::string::npos);
    }
}
