#include "app/acme_runner.hpp"

#include "app/handover.hpp"
#include "app/printable.hpp"
#include "telemetry/log.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace scoregate::app {

namespace {

constexpr std::string_view command = "acme-runner", asked = "order", line_mark = "line ";
constexpr std::array<std::pair<order_result::kind, std::string_view>, 3> ends{{
    {order_result::kind::issued, "issued "},
    {order_result::kind::not_due, "not_due "},
    {order_result::kind::failed, "failed "},
}};

std::string to_message(const order_result& result) {
    for (const auto& [kind, mark] : ends)
        if (kind == result.what) return std::string(mark) + result.said;
    return {};
}

std::optional<order_result> parse_message(std::string_view text) {
    for (const auto& [kind, mark] : ends)
        if (text.starts_with(mark)) return order_result{kind, std::string(text.substr(mark.size()))};
    return std::nullopt;
}

// The path is a link to what runs, be its file replaced by now or not.
int spawn_self(int connection, const config::acme& from, pid_t& made) {
    auto words = to_words(from);
    words.insert(words.begin(), {"scoregate", std::string(command)});
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (auto& each : words) arguments.push_back(each.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, connection, STDIN_FILENO);
    const int wrong = ::posix_spawn(&made, "/proc/self/exe", &files, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&files);
    return wrong;
}

// Without limit. `what`: POLLIN or POLLOUT.
bool wait_for(int connection, short what) {
    pollfd one{connection, what, 0};
    for (;;) {
        if (::poll(&one, 1, -1) > 0) return true;
        if (errno != EINTR) return false;
    }
}

int serve_orders(const config::acme& from) {
    constexpr int parent = STDIN_FILENO;
    // What ends scoregate ends this by the end of the connection, once nobody needs it.
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE}) std::signal(number, SIG_IGN);
    // A capability that a unit gives for low ports is not the client's.
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 1;
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) return 1;
    while (wait_for(parent, POLLIN)) {
        const auto got = receive_message(parent);
        if (!got || got->text != asked) break;
        const auto result = order_certificate(from, urgency::when_due, parent, [](std::string_view line) {
            send_message(parent, std::string(line_mark).append(line), {});
        });
        // A line may be lost where the parent is slow to read, the result may not.
        if (!wait_for(parent, POLLOUT) || !send_message(parent, to_message(result), {})) break;
    }
    return 0;
}

} // namespace

boost::system::result<std::unique_ptr<acme_runner>, std::string> acme_runner::start(base::executor where,
                                                                                    const config::acme& from) {
    std::array<int, 2> pair{};
    int wrong = ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) == 0 ? 0 : errno;
    if (wrong == 0) {
        descriptor own(pair[0]);
        const descriptor runners(pair[1]);
        pid_t process = 0;
        wrong = spawn_self(runners.number(), from, process);
        if (wrong == 0) return std::make_unique<acme_runner>(where, std::move(own), process);
    }
    return {boost::system::in_place_error,
            std::string("the process that runs the ACME client cannot be started: ") + std::strerror(wrong)};
}

acme_runner::acme_runner(base::executor where, descriptor to, pid_t process)
    : runner_(where, to.release()), process_(process) {}

bool acme_runner::gone() {
    pollfd one{runner_.native_handle(), 0, 0};
    if (::poll(&one, 1, 0) <= 0 || (one.revents & (POLLHUP | POLLERR)) == 0) return false;
    if (process_ > 0 && ::waitpid(process_, nullptr, WNOHANG) != 0) process_ = 0;
    return true;
}

base::task<order_result> acme_runner::order() {
    const order_result gone{order_result::kind::failed, gone_sentence};
    if (!send_message(runner_.native_handle(), asked, {})) co_return gone;
    for (;;) {
        const auto [ec] = co_await runner_.async_wait(decltype(runner_)::wait_read, base::awaited);
        if (ec) co_return gone;
        const auto got = receive_message(runner_.native_handle());
        if (!got || got->text.empty()) co_return gone;
        if (const auto result = parse_message(got->text)) co_return *result;
        if (got->text.starts_with(line_mark))
            telemetry::log().info("acme: {}: {}", acme_client, printable(got->text.substr(line_mark.size())));
    }
}

std::vector<std::string> to_words(const config::acme& from) {
    return {from.domain,
            from.directory,
            from.contact,
            from.state_dir,
            from.challenges(),
            from.ca_file.value_or(""),
            from.renew_before ? std::to_string(from.renew_before->count()) : ""};
}

std::optional<config::acme> parse_words(const std::vector<std::string>& words) {
    if (words.size() != 7) return std::nullopt;
    config::acme made;
    made.domain = words[0];
    made.directory = words[1];
    made.contact = words[2];
    made.state_dir = words[3];
    made.webroot = words[4];
    if (!words[5].empty()) made.ca_file = words[5];
    if (!words[6].empty()) made.renew_before = std::chrono::days{std::strtol(words[6].c_str(), nullptr, 10)};
    return made;
}

std::optional<int> run_as_acme_runner(int argc, char** argv) {
    if (argc < 2 || argv[1] != command) return std::nullopt;
    const auto from = parse_words({argv + 2, argv + argc});
    return from ? serve_orders(*from) : 2;
}

} // namespace scoregate::app
