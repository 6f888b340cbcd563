#include "app/import_command.hpp"

#include "app/printable.hpp"
#include "app/process.hpp"
#include "auth/read_file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace scoregate::app {

namespace {

void say(const std::string& sentence) { std::fprintf(stderr, "%s\n", printable(sentence).c_str()); }

std::vector<azureml::source_file> read(const std::vector<std::string>& paths) {
    std::vector<azureml::source_file> files;
    files.reserve(paths.size());
    // A byte more than is taken, so that what is larger is seen to be.
    std::string room(azureml::most_yaml_bytes + 1, '\0');
    for (const auto& path : paths) {
        auto done = auth::read_file(path, room, "it", "save the file there");
        files.push_back({path, room.substr(0, done.size), std::move(done.defect)});
    }
    return files;
}

// Whether all of it is there; errno says why not.
bool write_all(std::FILE* to, const std::string& text) {
    return std::fwrite(text.data(), 1, text.size(), to) == text.size() && std::fflush(to) == 0;
}

// Never over a file that is there: it may be the one in use.
bool write_new(const std::string& path, const std::string& text) {
    std::FILE* const file = std::fopen(path.c_str(), "wxe");
    if (file == nullptr) return false;
    const bool whole = write_all(file, text);
    const int why = errno;
    const bool closed = std::fclose(file) == 0;
    if (whole && closed) return true;
    if (!whole) errno = why;
    const int kept = errno;
    std::remove(path.c_str());
    errno = kept;
    return false;
}

exit_code write(const import_options& given, const std::string& text) {
    if (given.output ? write_new(*given.output, text) : write_all(stdout, text)) return clean;
    const int why = errno;
    const auto where = given.output.value_or("the configuration");
    if (why == EEXIST) {
        say("scoregate: " + where + " is there already and is not written over: name another --output");
        return refused;
    }
    say("scoregate: " + where + " could not be written: " + std::strerror(why));
    return failed;
}

std::string counted(std::size_t count, const std::string& what) {
    return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

} // namespace

int import_azureml(import_options given) {
    given.order.endpoints = read(given.endpoints);
    given.order.deployments = read(given.deployments);
    given.order.extension = read(given.extension);
    const auto made = azureml::convert(given.order);
    const auto& problems = made.told.problems;
    for (const auto& each : made.told.notes) say("note: " + to_string(each));
    for (const auto& line : azureml::bounded_lines(problems)) say(line);
    if (!problems.empty()) {
        say("scoregate: " + counted(problems.size(), "problem") + ", nothing was written");
        return refused;
    }
    const auto code = write(given, made.configuration);
    if (code == clean)
        say("scoregate: " + counted(made.services, "service") + " with " + counted(made.deployments, "deployment") +
            " written; " + counted(made.told.notes.size(), "note") + " above. Next: scoregate check --config " +
            given.output.value_or("FILE"));
    return code;
}

} // namespace scoregate::app
