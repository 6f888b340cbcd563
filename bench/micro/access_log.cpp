// What recording one request costs a core: the access log line and the counters. Prints nanoseconds per request.
#include "telemetry/access_log.hpp"
#include "telemetry/service_metrics.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

using namespace scoregate;
using namespace scoregate::telemetry;
using clock_type = std::chrono::steady_clock;

namespace {

constexpr int rounds = 20, times = 50'000;

template <class Work>
double nanoseconds_each(Work work) {
    const auto start = clock_type::now();
    for (int i = 0; i < times; ++i) work(i);
    return std::chrono::duration<double, std::nano>(clock_type::now() - start).count() / times;
}

// The best of several rounds: what the code costs when nothing else runs.
template <class Work>
double best_nanoseconds_each(Work work) {
    double best = nanoseconds_each(work);
    for (int round = 1; round < rounds; ++round) best = std::min(best, nanoseconds_each(work));
    return best;
}

} // namespace

int main() {
    access_record record{
        .ts = std::chrono::system_clock::now(),
        .request_id = "0b1cf0c2-1c5a-4a5e-9d9f-0a1b2c3d4e5f",
        .trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
        .client_ip = "203.0.113.77",
        .method = "POST",
        .path = "/api/v1/service/iris/score?verbose=1",
        .protocol = "HTTP/1.1",
        .service = "iris",
        .deployment = "blue",
        .replica = "http://127.0.0.1:5001",
        .status = 200,
        .model_status = 200,
        .bytes_in = 412,
        .bytes_out = 655,
        .duration = std::chrono::microseconds{1834},
        .read = std::chrono::microseconds{12},
        .queue = std::chrono::microseconds{0},
        .first_byte = std::chrono::microseconds{1790},
        .attempts = 1,
        .tls_cipher = "ECDHE-ECDSA-AES128-GCM-SHA256",
        .sni = "www.contoso.com",
        .resumed = false,
        .user_agent = "Mozilla/5.0 (X11; Linux x86_64) python-requests/2.28.1",
        .auth = "none",
    };

    std::string out;
    out.reserve(64 << 10);
    const auto line = best_nanoseconds_each([&](int i) {
        record.ts += std::chrono::microseconds{100};
        record.bytes_in = static_cast<std::uint64_t>(i);
        if (out.size() > 32 << 10) out.clear();
        append_json(out, record);
    });

    // A log per round, with room for all of it: lines that are dropped would look cheap.
    double written = 1e9;
    for (int round = 0; round < rounds; ++round) {
        const auto log = access_log::open({.path = "/dev/null", .max_pending = std::size_t{1} << 30});
        if (!log) {
            std::fprintf(stderr, "%s\n", log.error().c_str());
            return EXIT_FAILURE;
        }
        auto& core = (*log)->at(0);
        written = std::min(written, nanoseconds_each([&](int i) {
                               record.ts += std::chrono::microseconds{100};
                               record.bytes_in = static_cast<std::uint64_t>(i);
                               core.write(record);
                           }));
        (*log)->stop();
        if ((*log)->dropped() != 0) {
            std::fprintf(stderr, "lines were dropped: the measurement is void\n");
            return EXIT_FAILURE;
        }
    }

    service_metrics of("iris", "blue", 1);
    auto& counts = of.at(0);
    const auto counted = best_nanoseconds_each([&](int i) {
        counts.in_flight.add();
        counts.requests.add(base::fault::none, 200);
        const std::chrono::nanoseconds took{i * 1000};
        counts.request_duration.observe(took);
        counts.time_to_first_byte.observe(took);
        counts.overhead.observe(took / 64);
        counts.bytes_in.add(412);
        counts.bytes_out.add(655);
        counts.in_flight.sub();
    });

    std::string one;
    append_json(one, record);
    std::printf("append_json  %4.0f ns/line (%zu bytes)\n", line, one.size());
    std::printf("channel      %4.0f ns/line, blocks handed over to a writer that is behind\n", written);
    std::printf("metrics      %4.0f ns/request\n", counted);
}
