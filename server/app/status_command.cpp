#include "app/status_command.hpp"

#include "app/printable.hpp"
#include "app/status_report.hpp"
#include "control/admin_client.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>
#include <poll.h>
#include <string>
#include <unistd.h>
#include <utility>

namespace scoregate::app {

namespace {

using nlohmann::json;

constexpr int between_looks_ms = 5000; // as often as the history gets a sample
constexpr std::chrono::seconds patience{5};
constexpr unsigned ok = 200, not_found = 404;
constexpr std::size_t most_of_reply = 200; // that no scoregate has made
// The samples themselves are for charts: none is newer than this.
constexpr auto history_path = "/history?since=18446744073709551615";

// False: `wrong` is a sentence, with a remedy where there is one.
bool ask(const status_command& given, const std::string& path, json& answer, std::string& wrong) {
    const auto reply = control::ask_admin(given.admin, "GET", path, given.token_file, patience);
    if (!reply) {
        wrong = reply.error();
        return false;
    }
    answer = json::object();
    if (reply->status == not_found && path == history_path) return true; // an older one
    if (reply->status != ok) {
        wrong = given.admin + " answers " + std::to_string(reply->status) + " to GET " + path + ": " +
                printable(std::string_view(reply->body).substr(0, most_of_reply));
        return false;
    }
    answer = json::parse(reply->body, nullptr, false);
    const bool is_ours = answer.is_object() && (path == history_path || answer.value("version", json()).is_string());
    if (!is_ours)
        wrong = given.admin + " is no scoregate's: GET " + path + " gets something else; --admin names another";
    return is_ours;
}

std::string shown(const status_command& given, json status, json history, bool terminal) {
    if (!given.as_json) return to_report(status, history, terminal ? colours::ansi : colours::none);
    json both;
    both["status"] = std::move(status);
    both["history"] = std::move(history);
    return both.dump(given.watch ? -1 : 2, ' ', false, json::error_handler_t::replace) + "\n";
}

bool show_once(const status_command& given, bool terminal) {
    std::string wrong;
    json status, history;
    const bool asked = ask(given, "/status", status, wrong) && ask(given, history_path, history, wrong);
    if (given.watch && terminal) std::printf("\x1b[H\x1b[2J"); // to the top of an empty screen
    if (!asked) {
        std::fflush(stdout);
        std::fprintf(stderr, "scoregate: %s\n", wrong.c_str());
        return false;
    }
    // What could not be written must not look like an answer.
    const auto text = shown(given, std::move(status), std::move(history), terminal);
    return std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
}

} // namespace

int show_status(const status_command& given) {
    const bool terminal = ::isatty(STDOUT_FILENO) == 1 && !given.as_json;
    bool done = show_once(given, terminal);
    while (given.watch) {
        ::poll(nullptr, 0, between_looks_ms);
        if (!terminal && !given.as_json) std::printf("\n");
        done = show_once(given, terminal);
        if (std::ferror(stdout) != 0) break; // nobody reads any more
    }
    return done ? 0 : 1;
}

} // namespace scoregate::app
