#include "options.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <map>

namespace load {
namespace {

const CLI::Range at_least_one(1.0, 1e9, "1 or more");

void add_common(CLI::App& mode, options& chosen) {
    static const std::map<std::string, std::string> ciphers{{"ecdsa", "ECDHE-ECDSA-AES128-GCM-SHA256"},
                                                            {"rsa", "ECDHE-RSA-AES128-GCM-SHA256"}};
    mode.add_option("--url", chosen.url, "http or https://HOST:PORT/PATH")->required();
    mode.add_option("--body", chosen.body, "bytes of JSON that each request posts (1800)")->check(CLI::Range(0.0, 1e9));
    mode.add_option("--reply", chosen.reply, "bytes that each reply must have (115)")->check(CLI::Range(0.0, 1e12));
    mode.add_option("--key", chosen.key, "sent as Authorization: Bearer KEY");
    mode.add_option("--seed", chosen.seed, "of whatever is random (1)");
    mode.add_option("--cipher", chosen.cipher, "ecdsa (the default) or rsa")
        ->transform(CLI::CheckedTransformer(ciphers));
}

void add_times(CLI::App& mode, double& seconds, double& warm_up) {
    mode.add_option("--seconds", seconds, "measured")->required()->check(CLI::Range(0.05, 86400.0));
    mode.add_option("--warm-up", warm_up, "seconds before that (0)")->check(CLI::Range(0.0, 3600.0));
}

} // namespace

std::optional<options> parse_options(int argc, char** argv) {
    options chosen;
    chosen.cipher = "ECDHE-ECDSA-AES128-GCM-SHA256";
    double seconds = 0, warm_up = 0;
    std::int64_t interval_ms = 0, window_ms = 0;

    CLI::App app("Load for the bench; prints one line of JSON for each result.");
    app.require_subcommand(1);

    auto& open = *app.add_subcommand("open", "requests at random moments, whether earlier ones were answered or not");
    open.add_option("--rate", chosen.rate, "requests/s")->required()->check(CLI::Range(0.1, 1e7));
    open.add_option("--connections", chosen.connections, "kept alive")->required()->check(at_least_one);
    open.add_option("--window-ms", window_ms, "also the median of the percentiles of windows this long")
        ->check(at_least_one);

    auto& connect = *app.add_subcommand("connect", "a new connection for each request");
    const std::map<std::string, handshakes> kinds{{"full", handshakes::full}, {"resume", handshakes::resumed}};
    connect.add_option("--mode", chosen.kind, "full or resume")->required()->transform(CLI::CheckedTransformer(kinds));
    connect.add_option("--connections", chosen.connections, "at once")->required()->check(at_least_one);

    auto& stream = *app.add_subcommand("stream", "event streams, each event's delay");
    stream.add_option("--streams", chosen.connections, "at once")->required()->check(at_least_one);
    stream.add_option("--events", chosen.events, "of each stream")->required()->check(at_least_one);
    stream.add_option("--interval-ms", interval_ms, "between two events")->required()->check(at_least_one);

    auto& idle = *app.add_subcommand("idle", "connections that are held; a round of requests for each line \"again\"");
    idle.add_option("--connections", chosen.connections, "held")->required()->check(at_least_one);

    for (auto* mode : {&open, &connect, &stream, &idle}) add_common(*mode, chosen);
    for (auto* mode : {&open, &connect, &stream}) add_times(*mode, seconds, warm_up);

    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp& help) {
        app.exit(help);
        return std::nullopt;
    } catch (const CLI::ParseError& error) {
        throw bad_usage(error.what());
    }
    chosen.mode = open ? mode_name::open : connect ? mode_name::connect : stream ? mode_name::stream : mode_name::idle;
    chosen.seconds = std::chrono::duration<double>(seconds);
    chosen.warm_up = std::chrono::duration<double>(warm_up);
    chosen.window = std::chrono::milliseconds(window_ms);
    chosen.interval = std::chrono::milliseconds(interval_ms);
    return chosen;
}

} // namespace load
