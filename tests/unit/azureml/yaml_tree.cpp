// What is read of YAML, and what is refused, with its line.
#include "azureml/yaml_tree.hpp"

#include <catch2/catch.hpp>

using namespace scoregate;
using namespace scoregate::azureml;
using Catch::StartsWith;

namespace {

node read(const std::string& text) {
    config::problems problems;
    auto root = read_yaml("a.yml", text, problems);
    for (const auto& each : problems) UNSCOPED_INFO(to_string(each));
    CHECK(problems.empty());
    return root;
}

// The first problem, and that nothing is left to go on with.
std::string refused(const std::string& text) {
    config::problems problems;
    const auto root = read_yaml("a.yml", text, problems);
    REQUIRE_FALSE(problems.empty());
    CHECK(root.is == node::kind::nothing);
    return to_string(problems.front());
}

std::string repeated(const std::string& text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
}

} // namespace

TEST_CASE("a tree has names, values and lines") {
    const auto root = read("# first\nname: iris\ntraffic:\n  blue: 90\n  'green': \"10\"\nlist: [a, ~]\nnone:\n");
    REQUIRE(root.is == node::kind::mapping);
    REQUIRE(root.items.size() == 4);
    CHECK(root.find("name")->text == "iris");
    CHECK(root.find("name")->line == 2);
    const auto& traffic = *root.find("traffic");
    CHECK(traffic.line == 3);
    CHECK(traffic.find("blue")->text == "90");
    CHECK(traffic.find("green")->text == "10");
    CHECK(traffic.find("green")->line == 5);
    const auto& list = *root.find("list");
    REQUIRE(list.items.size() == 2);
    CHECK(list.items[1].is == node::kind::nothing);
    CHECK(list.find("a") == nullptr);
    CHECK(root.find("none")->is == node::kind::nothing);
    CHECK(root.find("absent") == nullptr);
}

TEST_CASE("JSON is YAML") {
    CHECK(read(R"({"a": {"b": "c"}})").find("a")->find("b")->text == "c");
    // UTF-16, as PowerShell writes it.
    CHECK(read(std::string("\xff\xfe"
                           "a\0:\0 \0b\0",
                           10))
              .find("a")
              ->text == "b");
}

TEST_CASE("what is quoted is text") {
    CHECK(read("a: 'null'").find("a")->is == node::kind::scalar);
    CHECK(read("a: ''").find("a")->is == node::kind::scalar);
    CHECK(read("a: null").find("a")->is == node::kind::nothing);
}

TEST_CASE("an alias stands for its anchor") {
    const auto root = read("a: &x {b: c}\nd: *x\n");
    CHECK(root.find("d")->find("b")->text == "c");
    CHECK(root.find("d")->line == 2);
    CHECK(root.find("d")->name == "d");
}

TEST_CASE("what is ambiguous or not needed is refused where it stands") {
    CHECK_THAT(refused("a: 1\nb: 2\na: 3\n"), StartsWith("a.yml:3: /a: is given more than once: "));
    CHECK_THAT(refused("a:\n  b: 1\n  b: 1\n"), StartsWith("a.yml:3: /a/b: is given more than once: "));
    CHECK_THAT(refused("a: !!int 1\n"), StartsWith("a.yml:1: /a: has a tag: "));
    CHECK_THAT(refused("a: !env {}\n"), StartsWith("a.yml:1: /a: has a tag: "));
    CHECK_THAT(refused("a: &x {b: 1}\nc:\n  <<: *x\n"), StartsWith("a.yml:3: /c: merges another mapping"));
    CHECK_THAT(refused("? [a]\n: 1\n"), StartsWith("a.yml:1: has a name that is no text: "));
    CHECK_THAT(refused("a: &x b\n*x : 1\n"), StartsWith("a.yml:2: has an alias for a name: "));
    CHECK_THAT(refused("a: *x\n"), StartsWith("a.yml:1: /a: refers to an anchor"));
    CHECK_THAT(refused("a: &x\n  b: *x\n"), StartsWith("a.yml:2: /a/b: refers to an anchor"));
    CHECK_THAT(refused("a: 1\n---\nb: 2\n"), StartsWith("a.yml:2: begins a second document: "));
    CHECK_THAT(refused("a: 1\n  b: 2\n"), StartsWith("a.yml:2: is not YAML: "));
    CHECK_THAT(refused("a: \"b\n"), StartsWith("a.yml:"));
    CHECK_THAT(refused("a: \xff\n"), StartsWith("a.yml:1: is not YAML: "));
}

TEST_CASE("a file that would cost too much is refused") {
    CHECK_THAT(refused(std::string(most_yaml_bytes + 1, ' ')), StartsWith("a.yml: is larger than 256 KiB: "));
    CHECK(read("a: " + repeated("[", 15) + repeated("]", 15)).items.size() == 1);
    CHECK_THAT(refused("a: " + repeated("[", 16)), Catch::Contains("is nested more than 16 levels deep"));
    CHECK_THAT(refused(repeated("[", 100'000)), StartsWith("a.yml:1: "));
    CHECK_THAT(refused(repeated("{", 100'000)), StartsWith("a.yml:1: "));
    CHECK_THAT(refused(repeated("- a\n", 20'000)), Catch::Contains("is more than any file of Azure ML needs"));
    CHECK_THAT(refused(std::string(201, 'a') + ": 1\n"), StartsWith("a.yml:1: has a name of more than 200 bytes: "));
    // Ten of ten of ten, and so on, each a line long.
    std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 9; ++i) {
        const auto below = "*a" + std::to_string(i - 1);
        bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + below + repeated(", " + below, 9) + "]\n";
    }
    CHECK_THAT(refused(bomb), Catch::Contains("is more than any file of Azure ML needs"));
    // One long text a thousand times.
    CHECK_THAT(refused("- &a " + std::string(100'000, 'x') + "\n" + repeated("- *a\n", 1000)),
               Catch::Contains("is more than any file of Azure ML needs"));
    // Deeper with each alias.
    std::string deep = "a0: &a0 [x]\n";
    for (int i = 1; i < 20; ++i)
        deep += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]\n";
    CHECK_THAT(refused(deep), Catch::Contains("is nested more than 16 levels deep"));
}
