// services_dir: a directory with a file for each service, beside or instead of `services`.
#include "unit/config/written.hpp"

#include <sys/stat.h>
#include <unistd.h>

using namespace scoregate::config;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

using texts = std::vector<std::string>;

json iris() { return valid()["services"]["iris"]; }

// A configuration whose services_dir is "services", with these files in it.
struct folder {
    explicit folder(const std::vector<std::pair<std::string, std::string>>& files, json tree = without_services())
        : main(with(std::move(tree)).dump()), path(main.folder() / "services") {
        fs::create_directory(path);
        for (const auto& [name, text] : files) write(name, text);
    }
    static json without_services() {
        auto tree = valid();
        tree.erase("services");
        return tree;
    }
    static json with(json tree) {
        tree["services_dir"] = "services";
        return tree;
    }
    void write(const std::string& name, const std::string& text) const { std::ofstream{path / name} << text; }
    std::string file(const std::string& name) const { return (path / name).string(); }
    // Its one problem, when all else is well.
    std::string refused(const std::vector<std::string>& words = {}) const {
        const auto result = main.load_with(words);
        CHECK_FALSE(result.value);
        CAPTURE(lines(result.problems));
        REQUIRE(result.problems.size() == 1);
        return lines(result.problems)[0];
    }

    written main;
    fs::path path;
};

texts names(const load_result& from) {
    CHECK(lines(from.problems) == texts{});
    texts out;
    if (from.value)
        for (const auto& each : from.value->services) out.push_back(each.name);
    return out;
}

} // namespace

TEST_CASE("a file for each service, alone or beside services, comments allowed; sorted by name over both") {
    folder at({{"iris.json", "// a comment\n" + iris().dump()}, {"Wine.json", iris().dump()}});
    CHECK(names(at.main.load()) == texts{"Wine", "iris"});

    auto tree = valid();
    tree["services"] = {{"lily", iris()}};
    folder both({{"iris.json", iris().dump()}, {"rose.json", iris().dump()}}, tree);
    CHECK(names(both.main.load()) == texts{"iris", "lily", "rose"});

    tree["services"] = json::object();
    CHECK(names(folder({{"iris.json", iris().dump()}}, tree).main.load()) == texts{"iris"});
}

TEST_CASE("whatever begins with a dot or ends otherwise is left alone") {
    folder at({{"iris.json", iris().dump()},
               {".iris.json.swp", "x"},
               {".hidden.json", "x"},
               {"README", "x"},
               {"iris.json~", "x"},
               {"iris.JSON", "x"}});
    fs::create_directory(at.path / "..2026_01_31");
    CHECK(names(at.main.load()) == texts{"iris"});
}

TEST_CASE("a folder by default gives way to the file's, and its services to what they say themselves") {
    folder at({{"iris.json", iris().dump()}});
    const char* const environment[] = {"SCOREGATE_UNLESS_SET_services_dir=elsewhere",
                                       "SCOREGATE_UNLESS_SET_services__iris__auth_mode=key",
                                       "SCOREGATE_UNLESS_SET_services__iris__require_tls=false", nullptr};
    const auto result = at.main.load(environment_overrides(environment));
    CHECK(names(result) == texts{"iris"});
    CHECK_FALSE(result.value.value().services[0].require_tls);

    const char* const alone[] = {"SCOREGATE_UNLESS_SET_services_dir=services", nullptr};
    auto tree = folder::without_services();
    const written without{tree.dump()};
    fs::create_directory(without.folder() / "services");
    std::ofstream{without.folder() / "services/rose.json"} << iris().dump();
    CHECK(names(without.load(environment_overrides(alone))) == texts{"rose"});
    auto others = environment_overrides(alone);
    others.push_back({"services_dir", "nowhere", "--set services_dir"});
    CHECK_FALSE(without.load(std::move(others)).value);
}

TEST_CASE("files behind symbolic links, as Kubernetes mounts a ConfigMap") {
    folder at({});
    fs::create_directory(at.path / "..one");
    std::ofstream{at.path / "..one/iris.json"} << iris().dump();
    fs::create_symlink("..one", at.path / "..data");
    fs::create_symlink("..data/iris.json", at.path / "iris.json");
    CHECK(names(at.main.load()) == texts{"iris"});
}

TEST_CASE("what a service of a file has is what it would have in services, its paths from that file's folder") {
    auto tree = iris();
    tree.erase("auth_mode");
    tree["keys"] = {{"primary_file", "keys/iris"}, {"secondary_file", "../other"}};
    tree["hosts"] = {"iris.contoso.com"};
    folder at({{"iris.json", tree.dump()}});
    const auto result = at.main.load();
    CHECK(names(result) == texts{"iris"});
    const auto& s = result.value.value().services[0];
    CHECK(s.hosts == texts{"iris.contoso.com"});
    CHECK(s.keys == key_files{(at.path / "keys/iris").string(), (at.main.folder() / "other").string()});
    CHECK(s.keys.value().pointer == "/keys");
    CHECK(s.keys.value().file == at.file("iris.json"));
    CHECK(result.value->services_dir == "services");
}

TEST_CASE("what is wrong in a file is told with that file and the pointer inside it") {
    struct row {
        std::string text, problem;
    };
    auto one_key = iris();
    one_key["auth_mode"] = "key";
    one_key["keys"] = {{"primary_file", "k"}, {"secondary_file", "./k"}};
    const std::vector<row> rows{
        {R"({"auth_mode": "none", "deployments": {"blue": {"replicas": ["tcp://a"]}}})",
         "/deployments/blue/replicas/0: the string"},
        {R"({"auth_mode": "none", "deployments": {"blue": {"replicas": ["http://a"]}}, "host": []})",
         "/host: is not a key of scoregate: did you mean \"hosts\"?"},
        {R"({"auth_mode": "none"})", "/deployments: is missing"},
        {R"({"deployments": {"blue": {"replicas": ["http://a"]}}})", "/keys: is missing"},
        {R"({"services": {}, "auth_mode": "none", "deployments": {"blue": {"replicas": ["http://a"]}}})",
         "/services: is not a key"},
        {R"({"require_tls": true, "require_tls": true, "auth_mode": "none",
            "deployments": {"blue": {"replicas": ["http://a"]}}})",
         "/require_tls: is given more than once"},
        {one_key.dump(), "/keys/secondary_file: is the same file as primary_file"},
        {"{", "is not JSON: parse error at line 1"},
        {"", "is not JSON"},
        {"[]", "must be an object: { \"deployments\""},
        {"null", "must be an object"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        folder at({{"iris.json", row.text}, {"rose.json", iris().dump()}});
        CHECK_THAT(at.refused(), Catch::StartsWith(at.file("iris.json") + ": " + row.problem));
    }
}

TEST_CASE("problems of the main file come first, then those of each file by name, all at once") {
    auto tree = valid();
    tree["workers"] = -1;
    folder at({{"wine.json", "{}"}, {"rose.json", "["}}, tree);
    const auto problems = at.main.load().problems;
    REQUIRE(problems.size() == 4);
    CHECK(problems[0].pointer == "/workers");
    CHECK(problems[0].file == at.main.file());
    CHECK(problems[1].file == at.file("rose.json"));
    CHECK(problems[2].file == at.file("wine.json"));
    CHECK(problems[2].pointer == "/keys");
    CHECK(problems[3].pointer == "/deployments");
}

TEST_CASE("a name in both, a bad name, a directory, an unreadable file, a pipe") {
    {
        folder at({{"iris.json", iris().dump()}}, valid());
        CHECK_THAT(at.refused(), Catch::StartsWith(at.file("iris.json") + ": is a service that " + at.main.file() +
                                                   " has in services as well"));
    }
    folder at({{"iris.json", iris().dump()}});
    for (const auto& name : texts{"1iris", "my_iris", "iris.old", std::string(64, 'a')}) {
        CAPTURE(name);
        at.write(name + ".json", iris().dump());
        CHECK_THAT(at.refused(), Catch::StartsWith(at.file(name + ".json") + ": \"" + name + "\" is not a name"));
        fs::remove(at.path / (name + ".json"));
    }
    for (const auto* name : {"more", "more.json"}) {
        fs::create_directory(at.path / name);
        CHECK_THAT(at.refused(), Catch::StartsWith(at.file(name) + ": is a directory"));
        fs::remove(at.path / name);
    }
    fs::create_symlink("nowhere", at.path / "rose.json");
    CHECK_THAT(at.refused(), Catch::StartsWith(at.file("rose.json") + ": cannot be read (No such file"));
    fs::remove(at.path / "rose.json");
    REQUIRE(::mkfifo(at.file("rose.json").c_str(), 0600) == 0);
    CHECK_THAT(at.refused(), Catch::StartsWith(at.file("rose.json") + ": cannot be read (it is not a regular file"));
}

TEST_CASE("there must be a service somewhere, and the directory must be one") {
    folder at({});
    at.write("README", "x");
    CHECK_THAT(at.refused(), Catch::StartsWith(at.main.file() + ": /services_dir: ") &&
                                 Catch::Contains("holds no NAME.json and services is empty"));
    fs::remove_all(at.path);
    CHECK_THAT(at.refused(), Catch::StartsWith(at.main.file() + ": /services_dir: ") &&
                                 Catch::Contains("cannot be listed (No such file or directory)"));
    std::ofstream{at.path} << "x";
    CHECK_THAT(at.refused(), Catch::Contains("cannot be listed (Not a directory)"));
    CHECK_THAT(at.refused({"services_dir=null"}), Catch::Contains("/services: is missing: it must hold at least one"));
    CHECK_THAT(at.refused({"services_dir=other"}), Catch::StartsWith("--set services_dir: /services_dir: "));

    auto tree = valid(); // one in the file is enough
    folder empty({}, tree);
    CHECK(names(empty.main.load()) == texts{"iris"});
    tree["services_dir"] = 5;
    CHECK(lines(written{tree.dump()}.load().problems).size() == 1);
    tree["services_dir"] = "";
    CHECK(lines(written{tree.dump()}.load().problems).size() == 1);
    tree["services_dir"] = nullptr;
    CHECK(names(written{tree.dump()}.load()) == texts{"iris"});
}

TEST_CASE("a host leads to one service over all files, and the default may be in one") {
    auto tree = iris();
    tree["hosts"] = {"a.contoso.com"};
    auto main = valid();
    main["services"]["iris"]["hosts"] = {"b.contoso.com"};
    folder at({{"rose.json", tree.dump()}, {"wine.json", tree.dump()}}, main);
    CHECK_THAT(at.refused(), Catch::StartsWith(at.file("wine.json") + ": /hosts/0: \"a.contoso.com\" is taken by " +
                                               at.file("rose.json") + ": /hosts/0"));
    tree["hosts"] = {"B.contoso.com"};
    at.write("wine.json", tree.dump());
    CHECK_THAT(at.refused(), Catch::Contains("is taken by /services/iris/hosts/0"));
    at.write("wine.json", iris().dump());
    CHECK(at.main.load_with({"default_service=wine"}).value.value().default_service == "wine");
    CHECK_THAT(at.refused({"default_service=lily"}), Catch::Contains("\"lily\" is not one of the services"));
}

TEST_CASE("--set reaches a service of the directory") {
    folder at({{"iris.json", iris().dump()}});
    const auto result = at.main.load_with({"services.iris.require_tls=false", "services.iris.hosts=a.b,c.d",
                                           "services.iris.deployments.blue.request_settings.total_timeout_ms=7"});
    CHECK(names(result) == texts{"iris"});
    const auto& s = result.value.value().services[0];
    CHECK_FALSE(s.require_tls);
    CHECK(s.hosts == texts{"a.b", "c.d"});
    CHECK(s.deployments.at(0).settings.total_timeout == std::chrono::milliseconds{7});
    CHECK_THAT(at.refused({"services.iris.require_tls=maybe"}),
               Catch::StartsWith("--set services.iris.require_tls: /require_tls: must be true or false"));
    CHECK_THAT(at.refused({"services.iris.colour=red"}),
               Catch::StartsWith("--set services.iris.colour: /colour: is not a key"));
    const auto other =
        at.main.load_with({"services.wine.auth_mode=none", "services.wine.deployments.blue.replicas=http://a"});
    CHECK(names(other) == texts{"iris", "wine"});
}

TEST_CASE("services_dir from the command line, and warnings of its files") {
    auto tree = iris();
    tree["keys"] = {{"primary_file", "k"}};
    folder at({}, folder::without_services());
    fs::create_directory(at.main.folder() / "other");
    std::ofstream{at.main.folder() / "other/iris.json"} << tree.dump();
    const auto result = at.main.load_with({"services_dir=./other/"});
    CHECK(names(result) == texts{"iris"});
    REQUIRE(result.warnings.size() == 1);
    CHECK_THAT(result.warnings[0],
               Catch::StartsWith((at.main.folder() / "other/iris.json").string() + ": /keys: is not used"));
}

TEST_CASE("what is watched is the directory and each file, absolute, also while there is none") {
    folder at({{"iris.json", iris().dump()}, {"README", "x"}});
    const auto read = [&](std::vector<override_setting> overrides = {}) {
        return read_text({at.main.file(), std::move(overrides)}, true).services;
    };
    CHECK(read().watched() == texts{at.file("."), at.file("iris.json")});
    fs::remove(at.path / "iris.json");
    CHECK(read().watched() == texts{at.file(".")});
    CHECK(read({{"services_dir", "null", "--set services_dir"}}).watched().empty());
    CHECK(read_services_folder("").watched().empty());
    for (const auto& each : read_services_folder(".").watched()) CHECK(fs::path(each).is_absolute());
}

TEST_CASE("services_dir is that of the text that is asked about, whatever was asked before") {
    source from;
    from.file = "/etc/scoregate.json";
    services_dir folder;
    CHECK(folder.of(from, "").empty());
    for (int twice = 0; twice < 2; ++twice) {
        CHECK(folder.of(from, R"({"services_dir": "one"})") == "/etc/one");
        CHECK(folder.of(from, R"({"services_dir": "one"})") == "/etc/one");
        CHECK(folder.of(from, R"({"services_dir": "two"})") == "/etc/two");
        CHECK(folder.of(from, R"({"services_dir": )").empty());
    }
}
