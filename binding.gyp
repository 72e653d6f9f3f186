{
  "targets": [
    {
      "target_name": "taskfold_cmake",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake_js_build",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["build/Release/.always-run"],
          "action": ["node", "scripts/gyp-cmake.cjs"]
        }
      ]
    }
  ]
}
