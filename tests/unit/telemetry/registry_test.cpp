#include "telemetry/registry.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

using namespace scoregate;
using namespace scoregate::telemetry;
using namespace std::chrono_literals;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

// The samples of one family, its HELP and TYPE lines not among them.
std::string family(const std::string& text, const std::string& name) {
    std::string found;
    bool inside = false;
    for (const auto& line : lines_of(text)) {
        if (line.starts_with("# HELP ")) inside = line.starts_with("# HELP " + name + " ");
        if (inside && !line.starts_with("#")) found += line + "\n";
    }
    return found;
}

std::set<std::string> types(const std::string& text) {
    std::set<std::string> found;
    for (const auto& line : lines_of(text))
        if (line.starts_with("# TYPE ")) CHECK(found.insert(line.substr(7)).second);
    return found;
}

} // namespace

TEST_CASE("a page without services still names every family") {
    CHECK(types(prometheus_text({})) == std::set<std::string>{
                                            "process_cpu_seconds_total counter",
                                            "process_max_fds gauge",
                                            "process_open_fds gauge",
                                            "process_resident_memory_bytes gauge",
                                            "process_start_time_seconds gauge",
                                            "process_virtual_memory_bytes gauge",
                                            "scoregate_abandon_expired_total counter",
                                            "scoregate_acme_orders_total counter",
                                            "scoregate_abandoned_total counter",
                                            "scoregate_mirrored_total counter",
                                            "scoregate_retries_total counter",
                                            "scoregate_accept_errors_total counter",
                                            "scoregate_access_log_dropped_total counter",
                                            "scoregate_access_log_left_out_total counter",
                                            "scoregate_access_log_write_errors_total counter",
                                            "scoregate_auth_total counter",
                                            "scoregate_build_info gauge",
                                            "scoregate_busy_slots gauge",
                                            "scoregate_certificate_not_after_timestamp_seconds gauge",
                                            "scoregate_certificate_not_before_timestamp_seconds gauge",
                                            "scoregate_client_gone_total counter",
                                            "scoregate_config_last_reload_successful gauge",
                                            "scoregate_connections gauge",
                                            "scoregate_connections_accepted_total counter",
                                            "scoregate_connections_evicted_total counter",
                                            "scoregate_connections_refused_total counter",
                                            "scoregate_core_cpu_seconds_total counter",
                                            "scoregate_errors_total counter",
                                            "scoregate_last_reload_successful gauge",
                                            "scoregate_overload_state gauge",
                                            "scoregate_in_flight gauge",
                                            "scoregate_overhead_seconds histogram",
                                            "scoregate_probes_total counter",
                                            "scoregate_queue_depth gauge",
                                            "scoregate_queue_wait_seconds histogram",
                                            "scoregate_rejected_total counter",
                                            "scoregate_reloads_total counter",
                                            "scoregate_replica_connects_total counter",
                                            "scoregate_replica_ejections_total counter",
                                            "scoregate_replica_healthy gauge",
                                            "scoregate_reply_bytes_total counter",
                                            "scoregate_request_bytes_total counter",
                                            "scoregate_request_duration_seconds histogram",
                                            "scoregate_requests_total counter",
                                            "scoregate_slots gauge",
                                            "scoregate_time_to_first_byte_seconds histogram",
                                            "scoregate_tls_handshake_failures_total counter",
                                            "scoregate_tls_handshakes_total counter",
                                            "scoregate_traces_dropped_total counter",
                                            "scoregate_traces_exported_total counter",
                                            "scoregate_traffic_ratio gauge",
                                            "scoregate_utilization_ratio gauge",
                                        });
}

TEST_CASE("docs/metrics.md lists every metric with its type, and no other") {
    std::ifstream page(SCOREGATE_SOURCE_DIR "/docs/metrics.md");
    REQUIRE(page);
    std::set<std::string> documented;
    const std::set<std::string> kinds{"counter", "gauge", "histogram"};
    for (std::string line; std::getline(page, line);) {
        std::istringstream cells(line); // | `name{labels}` | type | meaning |
        std::string name, type;
        std::getline(cells, name, '`');
        std::getline(cells, name, '`');
        std::getline(cells, type, '|');
        std::getline(cells, type, '|');
        if (type.size() > 2 && kinds.contains(type.substr(1, type.size() - 2)))
            documented.insert(name.substr(0, name.find('{')) + " " + type.substr(1, type.size() - 2));
    }
    CHECK(documented == types(prometheus_text({})));
}

TEST_CASE("requests of all cores are one sample per status code and fault") {
    service_metrics iris("iris", "blue", 2), unmatched("", "", 2);
    for (int i = 0; i < 3; ++i) iris.at(0).requests.add(base::fault::none, 200);
    iris.at(1).requests.add(base::fault::none, 200);
    iris.at(1).requests.add(base::fault::connect_failed, 502);
    iris.at(0).requests.add(base::fault::model_error, 502);
    unmatched.at(1).requests.add(base::fault::no_route, 404);
    const service_metrics* const all[] = {&iris, &unmatched};
    CHECK(family(prometheus_text({.services = all}), "scoregate_requests_total") ==
          "scoregate_requests_total{service=\"iris\",deployment=\"blue\",code=\"200\",fault=\"\"} 4\n"
          "scoregate_requests_total{service=\"iris\",deployment=\"blue\",code=\"502\",fault=\"connect_failed\"} 1\n"
          "scoregate_requests_total{service=\"iris\",deployment=\"blue\",code=\"502\",fault=\"model_error\"} 1\n"
          "scoregate_requests_total{service=\"\",deployment=\"\",code=\"404\",fault=\"no_route\"} 1\n");
}

TEST_CASE("what limits refused is one sample per limit, whatever its status, and nothing else is in it") {
    using base::fault;
    service_metrics whole("iris", "", 2), blue("iris", "blue", 2), unmatched("", "", 2);
    for (int i = 0; i < 3; ++i) whole.at(i % 2).requests.add(fault::rate_limited, 429);
    blue.at(0).requests.add(fault::queue_full, 503);
    blue.at(1).requests.add(fault::queue_full, 429); // error_mapping was changed
    blue.at(1).requests.add(fault::queue_timeout, 503);
    blue.at(1).requests.add(fault::overloaded, 503);
    for (const auto other : {fault::none, fault::draining, fault::no_ready_replica, fault::auth_wrong})
        blue.at(0).requests.add(other, 503);
    unmatched.at(0).requests.add(fault::no_route, 404);
    const service_metrics* const all[] = {&unmatched, &whole, &blue};
    CHECK(family(prometheus_text({.services = all}), "scoregate_rejected_total") ==
          "scoregate_rejected_total{service=\"iris\",deployment=\"\",fault=\"rate_limited\"} 3\n"
          "scoregate_rejected_total{service=\"iris\",deployment=\"blue\",fault=\"queue_full\"} 2\n"
          "scoregate_rejected_total{service=\"iris\",deployment=\"blue\",fault=\"queue_timeout\"} 1\n"
          "scoregate_rejected_total{service=\"iris\",deployment=\"blue\",fault=\"overloaded\"} 1\n");
}

TEST_CASE("what failed is counted by whose doing it was, from the start, a model's own 5xx with its replica") {
    using base::fault;
    service_metrics blue("iris", "blue", 2), unmatched("", "", 2);
    for (int i = 0; i < 9; ++i) blue.at(i % 2).requests.add(fault::none, 200);
    blue.at(0).requests.add(fault::none, 404); // the model's own: no failure
    blue.at(0).requests.add(fault::none, 503); // the model's own
    blue.at(1).requests.add(fault::model_error, 502);
    blue.at(0).requests.add(fault::stream_broken, 200);
    for (int i = 0; i < 2; ++i) blue.at(i).requests.add(fault::client_gone, 499);
    blue.at(1).requests.add(fault::queue_full, 429);
    const service_metrics* const all[] = {&unmatched, &blue};
    CHECK(family(prometheus_text({.services = all}), "scoregate_errors_total") ==
          "scoregate_errors_total{service=\"\",deployment=\"\",side=\"client\"} 0\n"
          "scoregate_errors_total{service=\"\",deployment=\"\",side=\"replica\"} 0\n"
          "scoregate_errors_total{service=\"\",deployment=\"\",side=\"proxy\"} 0\n"
          "scoregate_errors_total{service=\"iris\",deployment=\"blue\",side=\"client\"} 2\n"
          "scoregate_errors_total{service=\"iris\",deployment=\"blue\",side=\"replica\"} 3\n"
          "scoregate_errors_total{service=\"iris\",deployment=\"blue\",side=\"proxy\"} 1\n");
}

TEST_CASE("buckets are cumulative, in seconds, and end with +Inf, sum and count") {
    service_metrics iris("iris", "blue", 2);
    iris.at(0).request_duration.observe(1ms);
    iris.at(0).request_duration.observe(2ms);
    iris.at(1).request_duration.observe(90ms);
    iris.at(1).request_duration.observe(400s);
    const service_metrics* const all[] = {&iris};
    const auto text = prometheus_text({.services = all});

    std::string expected;
    const std::pair<const char*, int> buckets[] = {
        {"0.001", 1}, {"0.0025", 2}, {"0.005", 2}, {"0.01", 2}, {"0.025", 2}, {"0.05", 2},
        {"0.1", 3},   {"0.25", 3},   {"0.5", 3},   {"1", 3},    {"2.5", 3},   {"5", 3},
        {"10", 3},    {"30", 3},     {"100", 3},   {"300", 3},  {"+Inf", 4},
    };
    const std::string name = "scoregate_request_duration_seconds", labels = "service=\"iris\",deployment=\"blue\"";
    for (const auto& [bound, count] : buckets)
        expected += name + "_bucket{" + labels + ",le=\"" + bound + "\"} " + std::to_string(count) + "\n";
    expected += name + "_sum{" + labels + "} 400.093\n" + name + "_count{" + labels + "} 4\n";
    CHECK(family(text, name) == expected);
}

TEST_CASE("the three histograms are told apart, and overhead is fine enough for microseconds") {
    service_metrics iris("iris", "blue", 1);
    iris.at(0).request_duration.observe(1s);
    iris.at(0).time_to_first_byte.observe(2s);
    iris.at(0).overhead.observe(60us);
    const service_metrics* const all[] = {&iris};
    const auto text = prometheus_text({.services = all});
    const std::string labels = "{service=\"iris\",deployment=\"blue\"} ";
    const auto has = [&](const std::string& line) {
        return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
    };
    CHECK(has("scoregate_request_duration_seconds_sum" + labels + "1"));
    CHECK(has("scoregate_time_to_first_byte_seconds_sum" + labels + "2"));
    CHECK(has("scoregate_overhead_seconds_sum" + labels + "0.00006"));
    CHECK(has("scoregate_overhead_seconds_bucket{service=\"iris\",deployment=\"blue\",le=\"0.00005\"} 0"));
    CHECK(has("scoregate_overhead_seconds_bucket{service=\"iris\",deployment=\"blue\",le=\"0.000075\"} 1"));
}

TEST_CASE("numbers of a service are summed over its cores") {
    service_metrics iris("iris", "blue", 2);
    iris.at(0).in_flight.add(3);
    iris.at(1).in_flight.sub(1);
    iris.at(0).client_gone.add(1);
    iris.at(1).replica_connects.add(2);
    iris.at(0).bytes_in.add(1000);
    iris.at(1).bytes_in.add(1);
    iris.at(0).bytes_out.add(18'000'000'000'000'000'000u);
    const service_metrics* const all[] = {&iris};
    const auto text = prometheus_text({.services = all});
    const auto value = [&](const std::string& name) { return family(text, name); };
    const std::string labels = "{service=\"iris\",deployment=\"blue\"} ";
    CHECK(value("scoregate_in_flight") == "scoregate_in_flight" + labels + "2\n");
    CHECK(value("scoregate_client_gone_total") == "scoregate_client_gone_total" + labels + "1\n");
    CHECK(value("scoregate_replica_connects_total") == "scoregate_replica_connects_total" + labels + "2\n");
    CHECK(value("scoregate_request_bytes_total") == "scoregate_request_bytes_total" + labels + "1001\n");
    CHECK(value("scoregate_reply_bytes_total") == "scoregate_reply_bytes_total" + labels + "18000000000000000000\n");
}

TEST_CASE("how replicas are, and what their probes said") {
    service_metrics blue("iris", "blue", 1), green("iris", "green", 1);
    blue.health.ejections.add(2);
    blue.health.probes[static_cast<std::size_t>(probe_result::failure)].add(3);
    const deployment_load loads[] = {
        {&blue, 0, 0, 1, 0, {{"http://a", true}, {"http://b", false}}},
        {&green, 0, 0, 1, 0, {{"http://c", true}}},
    };
    const auto text = prometheus_text({.loads = loads});
    CHECK(family(text, "scoregate_replica_healthy") ==
          "scoregate_replica_healthy{service=\"iris\",deployment=\"blue\",replica=\"http://a\"} 1\n"
          "scoregate_replica_healthy{service=\"iris\",deployment=\"blue\",replica=\"http://b\"} 0\n"
          "scoregate_replica_healthy{service=\"iris\",deployment=\"green\",replica=\"http://c\"} 1\n");
    CHECK(family(text, "scoregate_replica_ejections_total") ==
          "scoregate_replica_ejections_total{service=\"iris\",deployment=\"blue\"} 2\n"
          "scoregate_replica_ejections_total{service=\"iris\",deployment=\"green\"} 0\n");
    CHECK(family(text, "scoregate_probes_total") ==
          "scoregate_probes_total{service=\"iris\",deployment=\"blue\",result=\"success\"} 0\n"
          "scoregate_probes_total{service=\"iris\",deployment=\"blue\",result=\"failure\"} 3\n"
          "scoregate_probes_total{service=\"iris\",deployment=\"blue\",result=\"skipped\"} 0\n");
}

TEST_CASE("connections and handshakes of all cores") {
    core_metrics one, two;
    one.connections.add(5);
    two.connections.sub(2);
    one.connections_accepted.add(7);
    two.accept_errors.add(1);
    one.handshakes_full.add(2);
    two.handshakes_resumed.add(9);
    one.handshake_failed(handshake_failure::no_shared_cipher);
    two.handshake_failed(handshake_failure::no_shared_cipher);
    two.handshake_failed(handshake_failure::other);
    const core_metrics* const cores[] = {&one, &two};
    const auto text = prometheus_text({.cores = cores});
    CHECK(family(text, "scoregate_connections") == "scoregate_connections 3\n");
    CHECK(family(text, "scoregate_connections_accepted_total") == "scoregate_connections_accepted_total 7\n");
    CHECK(family(text, "scoregate_accept_errors_total") == "scoregate_accept_errors_total 1\n");
    CHECK(family(text, "scoregate_tls_handshakes_total") == "scoregate_tls_handshakes_total{resumed=\"false\"} 2\n"
                                                            "scoregate_tls_handshakes_total{resumed=\"true\"} 9\n");
    CHECK(family(text, "scoregate_tls_handshake_failures_total") ==
          "scoregate_tls_handshake_failures_total{reason=\"unsupported_protocol\"} 0\n"
          "scoregate_tls_handshake_failures_total{reason=\"no_shared_cipher\"} 2\n"
          "scoregate_tls_handshake_failures_total{reason=\"no_application_protocol\"} 0\n"
          "scoregate_tls_handshake_failures_total{reason=\"plain_http\"} 0\n"
          "scoregate_tls_handshake_failures_total{reason=\"certificate_missing\"} 0\n"
          "scoregate_tls_handshake_failures_total{reason=\"certificate_refused\"} 0\n"
          "scoregate_tls_handshake_failures_total{reason=\"client_alert\"} 0\n"
          "scoregate_tls_handshake_failures_total{reason=\"timeout\"} 0\n"
          "scoregate_tls_handshake_failures_total{reason=\"closed\"} 0\n"
          "scoregate_tls_handshake_failures_total{reason=\"evicted\"} 0\n"
          "scoregate_tls_handshake_failures_total{reason=\"other\"} 1\n");
}

TEST_CASE("connections that were refused, that made way, and what for") {
    core_metrics one, two;
    one.of(refusal::max_connections).add(1);
    one.of(refusal::per_ip).add(2);
    one.of(refusal::descriptors).add(3);
    two.of(refusal::memory).add(4);
    two.of(refusal::proxy_protocol).add(5);
    two.of(refusal::per_ip).add(20);
    one.of(refusal::max_handshakes).add(9);
    one.of(eviction::max_connections).add(6);
    two.of(eviction::max_handshakes).add(7);
    one.of(eviction::memory).add(8);
    two.of(eviction::descriptors).add(10);
    const core_metrics* const cores[] = {&one, &two};
    auto text = prometheus_text({.cores = cores, .short_of_memory = true});
    CHECK(family(text, "scoregate_connections_refused_total") ==
          "scoregate_connections_refused_total{reason=\"max_connections\"} 1\n"
          "scoregate_connections_refused_total{reason=\"per_ip\"} 22\n"
          "scoregate_connections_refused_total{reason=\"descriptors\"} 3\n"
          "scoregate_connections_refused_total{reason=\"memory\"} 4\n"
          "scoregate_connections_refused_total{reason=\"proxy_protocol\"} 5\n"
          "scoregate_connections_refused_total{reason=\"max_handshakes\"} 9\n");
    CHECK(family(text, "scoregate_connections_evicted_total") ==
          "scoregate_connections_evicted_total{reason=\"max_connections\"} 6\n"
          "scoregate_connections_evicted_total{reason=\"max_handshakes\"} 7\n"
          "scoregate_connections_evicted_total{reason=\"memory\"} 8\n"
          "scoregate_connections_evicted_total{reason=\"descriptors\"} 10\n");
    CHECK(family(text, "scoregate_overload_state") == "scoregate_overload_state{resource=\"descriptors\"} 0\n"
                                                      "scoregate_overload_state{resource=\"memory\"} 1\n");
    text = prometheus_text({.cores = cores, .short_of_descriptors = true});
    CHECK(family(text, "scoregate_overload_state") == "scoregate_overload_state{resource=\"descriptors\"} 1\n"
                                                      "scoregate_overload_state{resource=\"memory\"} 0\n");
}

TEST_CASE("certificates, reloads, build and process") {
    const certificate_expiry certificates[] = {
        {"www.contoso.com", "0A1B", std::chrono::sys_seconds{1893456000s}, std::chrono::sys_seconds{1885680000s}}};
    const reload_counts good[] = {{"configuration", 3, 0, true}, {"certificate", 1, 2, true}};
    const reload_counts bad[] = {{"configuration", 3, 0, true}, {"certificate", 1, 3, false}};
    const std::chrono::nanoseconds core_cpu[] = {1500ms, 0ns};
    observations seen{.version = "0.1.0",
                      .core_cpu = core_cpu,
                      .certificates = certificates,
                      .reloads = good,
                      .access_log_dropped = 17,
                      .access_log_write_errors = 4,
                      .access_log_left_out = 99,
                      .traces_exported = 23,
                      .traces_dropped = 5,
                      .process = {.start_time = 1769860800250ms,
                                  .cpu = 1234567891ns,
                                  .resident_bytes = 4096,
                                  .virtual_bytes = 8192,
                                  .open_fds = 12,
                                  .max_fds = 1024}};
    const auto text = prometheus_text(seen);
    CHECK(family(text, "scoregate_certificate_not_after_timestamp_seconds") ==
          "scoregate_certificate_not_after_timestamp_seconds{cname=\"www.contoso.com\",serial=\"0A1B\"} 1893456000\n");
    CHECK(family(text, "scoregate_certificate_not_before_timestamp_seconds") ==
          "scoregate_certificate_not_before_timestamp_seconds{cname=\"www.contoso.com\",serial=\"0A1B\"} 1885680000\n");
    CHECK(family(text, "scoregate_reloads_total") ==
          "scoregate_reloads_total{unit=\"configuration\",result=\"success\"} 3\n"
          "scoregate_reloads_total{unit=\"configuration\",result=\"failure\"} 0\n"
          "scoregate_reloads_total{unit=\"certificate\",result=\"success\"} 1\n"
          "scoregate_reloads_total{unit=\"certificate\",result=\"failure\"} 2\n");
    CHECK(family(text, "scoregate_config_last_reload_successful") == "scoregate_config_last_reload_successful 1\n");
    CHECK(family(text, "scoregate_core_cpu_seconds_total") == "scoregate_core_cpu_seconds_total{core=\"0\"} 1.5\n"
                                                              "scoregate_core_cpu_seconds_total{core=\"1\"} 0\n");
    CHECK(family(text, "scoregate_build_info") == "scoregate_build_info{version=\"0.1.0\"} 1\n");
    CHECK(family(text, "scoregate_access_log_dropped_total") == "scoregate_access_log_dropped_total 17\n");
    CHECK(family(text, "scoregate_traces_exported_total") == "scoregate_traces_exported_total 23\n");
    CHECK(family(text, "scoregate_traces_dropped_total") == "scoregate_traces_dropped_total 5\n");
    CHECK(family(text, "scoregate_access_log_write_errors_total") == "scoregate_access_log_write_errors_total 4\n");
    CHECK(family(text, "scoregate_access_log_left_out_total") == "scoregate_access_log_left_out_total 99\n");
    CHECK(family(text, "process_start_time_seconds") == "process_start_time_seconds 1769860800.25\n");
    CHECK(family(text, "process_cpu_seconds_total") == "process_cpu_seconds_total 1.234567891\n");
    CHECK(family(text, "process_resident_memory_bytes") == "process_resident_memory_bytes 4096\n");
    CHECK(family(text, "process_virtual_memory_bytes") == "process_virtual_memory_bytes 8192\n");
    CHECK(family(text, "process_open_fds") == "process_open_fds 12\n");
    CHECK(family(text, "process_max_fds") == "process_max_fds 1024\n");

    seen.reloads = bad;
    CHECK(family(prometheus_text(seen), "scoregate_config_last_reload_successful") ==
          "scoregate_config_last_reload_successful 0\n");
    CHECK(family(prometheus_text(seen), "scoregate_last_reload_successful") ==
          "scoregate_last_reload_successful{unit=\"configuration\"} 1\n"
          "scoregate_last_reload_successful{unit=\"certificate\"} 0\n");
}

TEST_CASE("label values are escaped: quotes, backslashes and newlines only") {
    const certificate_expiry certificates[] = {{"a\"b\\c\nd\te\xc3\xa9", "", std::chrono::sys_seconds{1s}}};
    CHECK(
        family(prometheus_text({.certificates = certificates}), "scoregate_certificate_not_after_timestamp_seconds") ==
        "scoregate_certificate_not_after_timestamp_seconds{cname=\"a\\\"b\\\\c\\nd\te\xc3\xa9\",serial=\"\"} 1\n");
}

TEST_CASE("every line of a full page is a comment or a sample of the family before it") {
    service_metrics iris("iris", "blue", 1);
    iris.at(0).requests.add(base::fault::none, 200);
    core_metrics core;
    const service_metrics* const all[] = {&iris};
    const core_metrics* const cores[] = {&core};
    const auto text = prometheus_text({.version = "1", .services = all, .cores = cores});
    REQUIRE(text.ends_with('\n'));
    std::string name, kind;
    for (const auto& line : lines_of(text)) {
        CAPTURE(line);
        std::istringstream words(line);
        std::string first, second;
        words >> first >> second;
        if (second == "HELP") {
            words >> name;
            CHECK(line.find('\\') == std::string::npos);
            CHECK(line.size() > std::string("# HELP ").size() + name.size() + 1);
        } else if (second == "TYPE") {
            std::string of;
            words >> of >> kind;
            CHECK(of == name);
        } else {
            const auto value = line.substr(line.rfind(' ') + 1);
            CHECK(value.find_first_not_of("0123456789.") == std::string::npos);
            CHECK_FALSE(value.empty());
            auto of = first.substr(0, first.find('{'));
            if (kind == "histogram") of.erase(of.rfind('_')); // _bucket, _sum, _count
            CHECK(of == name);
            CHECK((first.find('{') == std::string::npos) != (first.back() == '}'));
            CHECK(std::count(first.begin(), first.end(), '"') == 2 * std::count(first.begin(), first.end(), '='));
        }
    }
}

TEST_CASE("how busy a deployment is, with a cap and without") {
    const service_metrics capped("iris", "blue", 1), open("iris", "green", 1);
    const deployment_load loads[] = {{&capped, 3, 4, 8, 90}, {&open, 0, 5, {}, 10}};
    const auto text = prometheus_text({.loads = loads});
    const std::string blue = "{service=\"iris\",deployment=\"blue\"} ",
                      green = "{service=\"iris\",deployment=\"green\"} ";
    CHECK(family(text, "scoregate_queue_depth") ==
          "scoregate_queue_depth" + blue + "3\nscoregate_queue_depth" + green + "0\n");
    CHECK(family(text, "scoregate_busy_slots") ==
          "scoregate_busy_slots" + blue + "4\nscoregate_busy_slots" + green + "5\n");
    CHECK(family(text, "scoregate_slots") == "scoregate_slots" + blue + "8\n");
    CHECK(family(text, "scoregate_utilization_ratio") == "scoregate_utilization_ratio" + blue + "0.875\n");
    CHECK(family(text, "scoregate_traffic_ratio") ==
          "scoregate_traffic_ratio" + blue + "0.900\nscoregate_traffic_ratio" + green + "0.100\n");
}

TEST_CASE("copies are counted by what became of them, where there are any") {
    service_metrics shadow("iris", "shadow", 2), blue("iris", "blue", 2);
    shadow.at(0).mirrored[static_cast<std::size_t>(mirror_result::answered)].add();
    shadow.at(1).mirrored[static_cast<std::size_t>(mirror_result::answered)].add();
    shadow.at(1).mirrored[static_cast<std::size_t>(mirror_result::no_memory)].add();
    const service_metrics* const all[] = {&shadow, &blue};
    const std::string name = "scoregate_mirrored_total{service=\"iris\",deployment=\"shadow\",result=";
    CHECK(family(prometheus_text({.services = all}), "scoregate_mirrored_total") ==
          name + "\"answered\"} 2\n" + name + "\"failed\"} 0\n" + name + "\"busy\"} 0\n" + name + "\"too_large\"} 0\n" +
              name + "\"no_memory\"} 1\n");
}

TEST_CASE("keys and tokens are counted for the service, whatever its deployments") {
    service_metrics iris("iris", "", 2), blue("iris", "blue", 2), unmatched("", "", 2);
    iris.at(0).auth_primary.add();
    iris.at(1).auth_primary.add();
    iris.at(1).auth_secondary.add();
    for (int i = 0; i < 3; ++i) iris.at(0).auth_token.add();
    const service_metrics* const all[] = {&iris, &blue, &unmatched};
    CHECK(family(prometheus_text({.services = all}), "scoregate_auth_total") ==
          "scoregate_auth_total{service=\"iris\",key=\"primary\"} 2\n"
          "scoregate_auth_total{service=\"iris\",key=\"secondary\"} 1\n"
          "scoregate_auth_total{service=\"iris\",key=\"aml_token\"} 3\n");
}

TEST_CASE("orders of certificates are counted where there is a provider") {
    CHECK(family(prometheus_text({}), "scoregate_acme_orders_total").empty());
    observations seen;
    seen.acme = acme_counts{3, 1};
    CHECK(family(prometheus_text(seen), "scoregate_acme_orders_total") ==
          "scoregate_acme_orders_total{result=\"success\"} 3\n"
          "scoregate_acme_orders_total{result=\"failure\"} 1\n");
}
