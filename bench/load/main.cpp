// The bench's own load, for what wrk cannot do: see bench/README.md, "The generator".
//
//   load open    --url URL --rate R --connections C --seconds S        requests at fixed moments
//   load connect --url URL --mode full|resume --connections C --seconds S        a new connection for each
//   load stream  --url URL --streams N --events E --interval-ms I --seconds S        event streams
//   load idle    --url URL --connections N        connections that are held
//
// One line of JSON on stdout for each result. Exit: 0 it ran (what was wrong is in the line), 1 it could not run, 2
// called wrongly.
#include "modes.hpp"

#include <csignal>
#include <cstdio>
#include <exception>

#include <sys/prctl.h>
#include <sys/resource.h>

namespace {

std::unique_ptr<load::mode> make_mode(const load::options& chosen, const load::target& to) {
    switch (chosen.mode) {
    case load::mode_name::open: return make_open(chosen, to);
    case load::mode_name::connect: return make_connect(chosen, to);
    case load::mode_name::stream: return make_stream(chosen, to);
    case load::mode_name::idle: return make_idle(chosen, to);
    }
    return nullptr;
}

// As many descriptors as the system lets us have; where they are too few, opening a socket says so.
void raise_descriptors() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

} // namespace

int main(int argc, char** argv) {
    try {
        const auto chosen = load::parse_options(argc, argv);
        if (!chosen) return 0;
        raise_descriptors();
        std::signal(SIGPIPE, SIG_IGN);
        ::prctl(PR_SET_TIMERSLACK, 1UL); // or each request would be sent 50 us late
        const load::target to(*chosen);
        const auto mode = make_mode(*chosen, to);
        load::run(*mode);
        return 0;
    } catch (const load::bad_usage& problem) {
        std::fprintf(stderr, "load: %s; load --help tells more\n", problem.what());
        return 2;
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "load: %s\n", problem.what());
        return 1;
    }
}
