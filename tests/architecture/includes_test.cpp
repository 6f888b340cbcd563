// Dependencies go one way. server/CMakeLists.txt says which folder may use which; includes are held against it.
#include "architecture/project.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <regex>
#include <set>
#include <sstream>

using namespace scoregate::tests;

namespace {

// Each folder of server/ in the order of server/CMakeLists.txt, with all that it may use, itself included.
struct libraries {
    std::vector<std::string> order;
    std::map<std::string, std::set<std::string>> may_use;
};

libraries declared_libraries() {
    libraries found;
    const std::regex declaration{R"(^scoregate_library\((\w+)([^)]*)\))"};
    for (const auto& line : lines_of(text_of("server/CMakeLists.txt"))) {
        std::smatch match;
        if (!std::regex_search(line, match, declaration)) continue;
        const std::string name = match[1];
        auto& used = found.may_use[name];
        used.insert(name);
        std::istringstream arguments{match[2]};
        for (std::string each; arguments >> each;) {
            if (!each.starts_with("scoregate_")) continue;
            const auto library = each.substr(std::string("scoregate_").size());
            INFO(name << " uses " << library);
            REQUIRE(found.may_use.contains(library)); // only what was declared before it: no cycle can be written
            used.insert(found.may_use[library].begin(), found.may_use[library].end());
        }
        found.order.push_back(name);
    }
    return found;
}

} // namespace

TEST_CASE("the folders of server/ are layers in one order") {
    const std::vector<std::string> order{"base", "http",    "config",   "azureml", "telemetry", "auth",
                                         "tls",  "routing", "upstream", "proxy",   "control",   "app"};
    CHECK(declared_libraries().order == order);
    for (const auto& file : files_below("server", {".cpp", ".hpp", ".ipp"})) {
        const auto folder = file.substr(7, file.find('/', 7) - 7);
        if (file == "server/main.cpp") continue;
        INFO(file);
        CHECK(std::find(order.begin(), order.end(), folder) != order.end());
    }
}

TEST_CASE("a folder includes only what server/CMakeLists.txt lets it use") {
    const auto libraries = declared_libraries();
    const std::regex include{R"inc(^\s*#\s*include\s+"([^"]+)")inc"};
    std::size_t seen = 0;
    for (const auto& file : files_below("server", {".cpp", ".hpp", ".ipp"})) {
        if (file == "server/main.cpp") continue; // the top: may use everything
        const auto& may_use = libraries.may_use.at(file.substr(7, file.find('/', 7) - 7));
        for (const auto& line : lines_of(text_of(file))) {
            std::smatch match;
            if (!std::regex_search(line, match, include)) continue;
            const std::string included = match[1];
            INFO(file << " includes " << included);
            CHECK(exists("server/" + included)); // from server/, never relative to the file
            CHECK(may_use.contains(included.substr(0, included.find('/'))));
            ++seen;
        }
    }
    CHECK(seen > 100);
}

TEST_CASE("the layers without I/O know neither sockets nor TLS") {
    const std::regex forbidden{R"(#\s*include\s+<(openssl/|sys/socket|boost/beast))"};
    for (const auto* folder : {"server/http", "server/routing", "server/config", "server/azureml"})
        for (const auto& file : files_below(folder, {".cpp", ".hpp"})) {
            INFO(file);
            CHECK_FALSE(std::regex_search(text_of(file), forbidden));
        }
}
